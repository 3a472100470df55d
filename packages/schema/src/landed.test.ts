import { createHash } from 'node:crypto';
import { expect, it } from 'vitest';
import { migrations } from '../migrations/index.ts';

// A migration that has landed may have run somewhere: a change to it would reach new databases only. Add another one.
it('a migration that has landed is never edited, renamed or reordered', () => {
  const digests = Object.entries(migrations).map(
    ([name, { up, down }]) =>
      `${name} ${createHash('sha256').update(`${up}\n--\n${down}`).digest('hex').slice(0, 16)}`,
  );
  expect(digests).toMatchInlineSnapshot(`
    [
      "0001-foundation c7329615f79c6212",
      "0002-auth df10e466a585f441",
      "0003-token c24f7d7a415c130a",
      "0004-audit b0aa6621ca5f85d1",
      "0005-auth-administration 0521d636f9b0298d",
      "0006-audit-event-id df4b587b13deba94",
      "0007-nats-identity 40cb1fe7532d655e",
      "0008-audit-chain 6814f732ba1ace41",
      "0009-administration 672a84a65094e765",
      "0010-audit-search 834721831c590a0f",
      "0011-compatibility 9b07f12b94d4eeb5",
      "0012-dead-letter-discarded 548696c9d1cb0fc7",
      "0013-dead-letter-waiting 831d7966d2957baf",
    ]
  `);
});
