import { expect, test } from 'vitest';
import { explainDownload } from './runtime.mjs';

test.each([
  ['npm error code ENOTFOUND\nnpm error network request to https://registry/x failed', 'cannot be reached'],
  ['npm error code SELF_SIGNED_CERT_IN_CHAIN', 'NODE_EXTRA_CA_CERTS'],
  ['npm error code EINTEGRITY\nnpm error sha512-… integrity checksum failed', 'came broken'],
  ['npm error code ENOSPC', 'disk is full'],
  ['npm error code EACCES\nnpm error syscall mkdir', 'may not be written'],
  ['npm error code E404', 'does not have a package'],
])("of npm's output %j the cause and the remedy are told in one line", (output, expected) => {
  const line = explainDownload(output, 'npm');
  expect(line).toContain(expected);
  expect(line).not.toContain('\n');
});

test('an unknown failure is told with its first telling line', () => {
  expect(explainDownload('noise\nnpm error something odd\n', 'npm')).toContain('npm failed: something odd');
});
