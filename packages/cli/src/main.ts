#!/usr/bin/env node
import { CommanderError } from 'commander';
import { Fault } from './fault.ts';
import { clean } from './output.ts';
import { createProgram } from './program.ts';

try {
  await createProgram().parseAsync();
} catch (error) {
  if (error instanceof CommanderError) process.exitCode = error.exitCode === 0 ? 0 : 2;
  else {
    const message = error instanceof Error ? (error.message.split('\n', 1)[0] ?? '') : 'failed';
    console.error(`gatehouse: ${clean(message)}`);
    if (error instanceof Fault) for (const line of error.details) console.error(`  ${clean(line)}`);
    process.exitCode = error instanceof Fault ? error.exitCode : 1;
  }
}
