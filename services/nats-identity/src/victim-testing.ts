import { auth } from '@gatehouse/auth';
import { createLog, run } from '@gatehouse/kit';
import { token } from '@gatehouse/token';
import { natsIdentity } from './service.ts';

/** A process of its own for tests that kill it with -9; prints where it listens. */
const { url } = await run([auth, token, natsIdentity], {
  log: createLog({ level: 'silent', pretty: false }),
});
console.log(url);
