import assert from "node:assert/strict";
import { test } from "node:test";
import { deskKey } from "../../static/js/desk-keys.js";
import { isField, isTyping, keyAction } from "../../static/js/keys.js";

const press = (key, changes = {}) => ({
  key,
  ctrlKey: false,
  metaKey: false,
  altKey: false,
  defaultPrevented: false,
  repeat: false,
  isComposing: false,
  ...changes,
});
const PAGE = { isTyping: false, inSendForm: false, somethingOpen: false };
const DESK = { dialogOpen: false, isBusy: false, inField: false, inResponse: false, onControl: false };

test("keys are text in fields, but not on radio buttons and checkboxes", () => {
  assert.equal(isTyping({ tagName: "TEXTAREA" }), true);
  assert.equal(isTyping({ tagName: "INPUT", type: "text" }), true);
  assert.equal(isTyping({ tagName: "INPUT", type: "radio" }), false);
  assert.equal(isTyping({ tagName: "DIV", isContentEditable: true }), true);
  assert.equal(isTyping({ tagName: "BUTTON" }), false);
  assert.equal(isField({ tagName: "INPUT" }), true);
  assert.equal(isField({ tagName: "A" }), false);
});

test("Escape closes what is open before it leaves a field", () => {
  assert.equal(keyAction(press("Escape"), { ...PAGE, somethingOpen: true, isTyping: true }), "close");
  assert.equal(keyAction(press("Escape"), { ...PAGE, isTyping: true }), "leave");
  assert.equal(keyAction(press("Escape"), PAGE), "none");
});

test("Enter with control sends the form that asks for it, also from a field", () => {
  const form = { ...PAGE, inSendForm: true, isTyping: true };
  assert.equal(keyAction(press("Enter", { ctrlKey: true }), form), "send");
  assert.equal(keyAction(press("Enter", { metaKey: true }), form), "send");
  assert.equal(keyAction(press("Enter", { ctrlKey: true }), PAGE), "none");
});

test("other keys press an element, unless they are text, handled already, or the browser's own", () => {
  assert.equal(keyAction(press("a"), PAGE), "press");
  assert.equal(keyAction(press("a"), { ...PAGE, isTyping: true }), "none");
  for (const name of ["ctrlKey", "metaKey", "altKey", "defaultPrevented"])
    assert.equal(keyAction(press("a", { [name]: true }), PAGE), "none");
});

test("Enter saves at the desk, in a field with control alone", () => {
  assert.equal(deskKey(press("Enter"), DESK), "save");
  assert.equal(deskKey(press("Enter"), { ...DESK, inField: true }), "pass");
  assert.equal(deskKey(press("Enter", { ctrlKey: true }), { ...DESK, inField: true }), "save");
  assert.equal(deskKey(press("Enter"), { ...DESK, onControl: true }), "pass");
  assert.equal(deskKey(press("Enter", { isComposing: true }), DESK), "pass");
});

test("no key acts while an answer is saved or a key is held down; typing goes on", () => {
  assert.equal(deskKey(press("Enter"), { ...DESK, isBusy: true }), "stop");
  assert.equal(deskKey(press("a", { repeat: true }), DESK), "stop");
  assert.equal(deskKey(press("a", { repeat: true }), { ...DESK, inField: true }), "pass");
});

test("a dialog keeps its own keys and no other", () => {
  const dialog = { ...DESK, dialogOpen: true };
  assert.equal(deskKey(press("Escape"), dialog), "pass");
  assert.equal(deskKey(press("Tab"), dialog), "stop");
  assert.equal(deskKey(press("Enter"), dialog), "stop");
  assert.equal(deskKey(press("a"), dialog), "swallow");
  assert.equal(deskKey(press("ArrowDown"), dialog), "swallow");
});

test("arrows scroll both responses, unless the focus is in one of them or in a field", () => {
  assert.equal(deskKey(press("ArrowDown"), DESK), "scroll");
  assert.equal(deskKey(press("PageUp", { repeat: true }), { ...DESK, isBusy: true }), "scroll");
  assert.equal(deskKey(press("ArrowDown"), { ...DESK, inResponse: true }), "pass");
  assert.equal(deskKey(press("ArrowDown"), { ...DESK, inField: true }), "pass");
});
