// Renew the lease of an item while the person is active. Otherwise it expires and the item returns to the queue.

const ACTIVITY_EVENTS = ["keydown", "pointerdown", "scroll"];

/**
 * Call `renew` three times per lease, if there was a key, pointer or scroll event within the last lease.
 *
 * @param {number} seconds length of a lease
 * @param {() => void} renew
 */
export function keepLease(seconds, renew) {
  let activeAt = Date.now();
  const onActivity = () => {
    activeAt = Date.now();
  };
  for (const name of ACTIVITY_EVENTS) addEventListener(name, onActivity, { passive: true, capture: true });
  setInterval(
    () => {
      if (Date.now() - activeAt < seconds * 1000) renew();
    },
    (seconds * 1000) / 3,
  );
}
