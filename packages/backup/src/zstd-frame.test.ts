import { randomBytes } from 'node:crypto';
import { constants, zstdCompressSync } from 'node:zlib';
import { expect, it } from 'vitest';
import { wholeFrames } from './zstd-frame.ts';

const checked = { params: { [constants.ZSTD_c_checksumFlag]: 1 } };

async function passed(bytes: Uint8Array, step: number): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for (let at = 0; at < bytes.length; at += step) chunks.push(bytes.subarray(at, at + step));
  const out: Uint8Array[] = [];
  for await (const chunk of wholeFrames(asyncly(chunks))) out.push(chunk);
  return Buffer.concat(out);
}
async function* asyncly(chunks: readonly Uint8Array[]): AsyncGenerator<Uint8Array> {
  yield* chunks;
}

const contents: [string, Buffer][] = [
  ['nothing', Buffer.alloc(0)],
  ['a word', Buffer.from('word')],
  ['what does not compress, of several blocks', randomBytes(300_000)],
  ['one byte again and again', Buffer.alloc(1_000_000, 65)],
  ['of both kinds', Buffer.concat([Buffer.alloc(200_000), randomBytes(200_000), Buffer.alloc(200_000, 1)])],
];

it.each(contents)('a whole frame passes as it is: %s', async (_name, content) => {
  const frame = zstdCompressSync(content, checked);
  for (const step of [1 + (frame.length >> 4), 7, frame.length])
    expect(await passed(frame, step)).toEqual(frame);
});

it.each(contents)(
  'cut anywhere, to the last byte, or gone on with by anything but a frame, it is refused: %s',
  async (_name, content) => {
    const frame = zstdCompressSync(content, checked);
    const ends = [1, 2, 3, 4, 5, 6, 7, 8].map((less) => frame.length - less);
    for (const place of new Set([0, 1, 4, 5, frame.length >> 1, ...ends])) {
      if (place < 0) continue;
      await expect(passed(frame.subarray(0, place), 4096), `cut at ${place}`).rejects.toThrow(
        'ends too early',
      );
    }
    await expect(passed(Buffer.concat([frame, Buffer.alloc(1)]), 4096)).rejects.toThrow('ends too early');
    await expect(passed(Buffer.concat([frame, Buffer.alloc(9)]), 4096)).rejects.toThrow('follows its end');
    const two = Buffer.concat([frame, zstdCompressSync('', checked)]);
    expect(await passed(two, 4096)).toEqual(two);
  },
);

it('without a checksum it is none of ours', async () => {
  await expect(passed(zstdCompressSync('word'), 4096)).rejects.toThrow('no checksum');
});
