// The raw limit of sign-in: hashes a second, two at a time, nothing else in the process. Prints the rate.
import { hash } from '@node-rs/argon2';

const seconds = Number(process.argv[2] ?? 5);
const lanes = Number(process.argv[3] ?? 2);
const options = { memoryCost: 65_536, timeCost: 3, parallelism: 1 };
let done = 0;
const begun = performance.now();
await Promise.all(
  Array.from({ length: lanes }, async () => {
    while (performance.now() - begun < seconds * 1000) {
      await hash('StrongPassword123', options);
      done += 1;
    }
  }),
);
console.log(done / ((performance.now() - begun) / 1000));
