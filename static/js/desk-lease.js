// The lease of an item: renewed while the reader is active; without that, the item goes back to the others.

const SIGNS_OF_LIFE = ["keydown", "pointerdown", "scroll"];

/**
 * Call `renew` three times per lease, as long as a key, a pointer or the wheel was used within the last lease.
 *
 * @param {number} seconds length of a lease
 * @param {() => void} renew
 */
export function keepLease(seconds, renew) {
  let activeAt = Date.now();
  const onActivity = () => {
    activeAt = Date.now();
  };
  for (const name of SIGNS_OF_LIFE) addEventListener(name, onActivity, { passive: true, capture: true });
  setInterval(
    () => {
      if (Date.now() - activeAt < seconds * 1000) renew();
    },
    (seconds * 1000) / 3,
  );
}
