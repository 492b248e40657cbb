// A page and its kernel: one message is in flight; while it is, a newer message
// of its kind replaces the one that waits, and any replaces a try. An answer
// that nobody asked for is painted, too.

function linked({ model, kind, busy, lost, receive }) {
  const SLOW = 400;
  const DEAD = 15000;
  let serial = 0;
  let inFlight = 0;
  let waiting = [];
  let slowTimer = null;
  let deadTimer = null;

  function pump() {
    if (inFlight || !waiting.length) return;
    inFlight = ++serial;
    try {
      model.send({ kind, serial, ...waiting.shift() });
    } catch {} // the timer says that nobody answers
    slowTimer = setTimeout(() => busy("Still computing…"), SLOW);
    deadTimer = setTimeout(() => lost("No answer: the kernel is not running. Run the cell again."), DEAD);
  }

  function hear(message) {
    if (message.kind !== kind) return;
    lost("");
    const ours = message.serial === inFlight;
    if (ours) {
      inFlight = 0;
      clearTimeout(slowTimer);
      clearTimeout(deadTimer);
      busy("");
    }
    receive(message);
    // A description is followed by its answer.
    if (ours && message.about === "schema") inFlight = message.serial;
    pump();
  }

  model.on("msg:custom", hear);
  return {
    ask(message) {
      const alike = (m) => m.act === message.act && m.group === message.group;
      const before = waiting.find(alike);
      waiting = waiting.filter((m) => m.act !== "try" && !alike(m));
      waiting.push({ ...before, ...message });
      pump();
    },
    get pending() { return waiting.length > 0; },
    drop() {
      model.off("msg:custom", hear);
      clearTimeout(slowTimer);
      clearTimeout(deadTimer);
    },
  };
}
