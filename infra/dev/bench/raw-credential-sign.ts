// The raw limit of making credentials: a new user key, its JWT signed, and the creds file, on one thread. Prints how many
// a second.
import { createNkey, credsText, encodeJwt } from '@gatehouse/nats-claims';

const seconds = Number(process.argv[2] ?? '8');
const signer = createNkey('account');
const account = createNkey('account').publicKey;

function make(iat: number): void {
  const key = createNkey('user');
  const nats = { issuer_account: account, subs: -1, data: -1, payload: -1, type: 'user' };
  const jwt = encodeJwt({ sub: key.publicKey, name: 'bench', iat, exp: iat + 3600 }, nats, signer);
  credsText(jwt, key.seed().toString('latin1'));
}

for (let at = 0; at < 500; at += 1) make(at + 1);
let done = 0;
const begun = performance.now();
while (performance.now() - begun < seconds * 1000) {
  make(done + 1);
  done += 1;
}
console.log(done / ((performance.now() - begun) / 1000));
