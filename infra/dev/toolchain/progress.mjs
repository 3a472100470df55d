const FRAMES = ['⠋', '⠙', '⠹', '⠸', '⠼', '⠴', '⠦', '⠧', '⠇', '⠏'];
const FRAME_MS = 100;
const REMINDER_MS = 10_000;

/**
 * Says what is being fetched: one moving line on a terminal, else a line at the start and the end of each part and
 * every ten seconds between. Says nothing at all when nothing is fetched.
 */
export function makeProgress(stream = process.stderr) {
  const moving = Boolean(stream.isTTY) && process.env.TERM !== 'dumb' && !process.env.CI;
  const open = new Map();
  let timer;
  let frame = 0;

  const seconds = (since) => `${((performance.now() - since) / 1000).toFixed(1)} s`;
  const clear = () => moving && stream.write('\r\x1b[2K');
  const list = () => [...open].map(([part, since]) => `${part} ${seconds(since)}`).join(' · ');
  const draw = () => {
    frame = (frame + 1) % FRAMES.length;
    const text = `${FRAMES[frame]} ${list()}`;
    stream.write(`\r\x1b[2K${text.slice(0, Math.max(20, (stream.columns ?? 80) - 1))}`);
  };
  const tick = () => (moving ? draw() : stream.write(`  still at it: ${list()}\n`));

  const say = (text) => {
    clear();
    stream.write(`${text}\n`);
  };
  return {
    say,
    /** Shows `part` while the promise runs; `work` resolves with what to call the result. */
    async during(part, work) {
      const since = performance.now();
      open.set(part, since);
      if (!moving) say(`  ${part} ...`);
      if (!timer) {
        timer = setInterval(tick, moving ? FRAME_MS : REMINDER_MS);
        timer.unref();
      }
      try {
        const result = await work();
        open.delete(part);
        say(`  ${result ?? part}: ready (${seconds(since)})`);
      } finally {
        open.delete(part);
        if (open.size === 0) {
          clearInterval(timer);
          timer = undefined;
          clear();
        }
      }
    },
  };
}
