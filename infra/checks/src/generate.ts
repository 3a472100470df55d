import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { documents } from './documents.ts';
import { root } from './sources.ts';

// node infra/checks/src/generate.ts: writes the pages of docs/ that equal the code.
for (const { path, text } of documents) {
  writeFileSync(join(root, path), text());
  console.log(path);
}
