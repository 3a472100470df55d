// Plain JavaScript on purpose: to strip types every thread would load a compiler of its own (measured: 13 MB a thread).
// One message carries all that came together: waking a thread costs more than an ES256 signature.
import { sign } from 'node:crypto';
import { parentPort } from 'node:worker_threads';

/** @type {Map<number, { digest: string | null, key: import('node:crypto').SignKeyObjectInput }>} */
const keys = new Map();

parentPort?.on('message', (message) => {
  if ('learn' in message) {
    const { learn, algorithm, key } = message;
    // RFC 7518 §3.4: an ECDSA signature in a JWS is R and S side by side, not DER.
    keys.set(learn, {
      digest: algorithm === 'EdDSA' ? null : 'sha256',
      key: { key, dsaEncoding: 'ieee-p1363' },
    });
    return;
  }
  const { batch, ids, inputs } = message;
  const signatures = inputs.map((input, at) => {
    const { digest, key } = keys.get(ids[at]);
    return sign(digest, Buffer.from(input, 'latin1'), key).toString('base64url');
  });
  parentPort?.postMessage({ batch, signatures });
});
