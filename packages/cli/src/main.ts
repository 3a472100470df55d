#!/usr/bin/env node
import { CommanderError } from 'commander';
import { Fault } from './fault.ts';
import { createProgram } from './program.ts';

try {
  await createProgram().parseAsync();
} catch (error) {
  if (error instanceof CommanderError) process.exitCode = error.exitCode === 0 ? 0 : 2;
  else {
    console.error(`gatehouse: ${error instanceof Error ? error.message.split('\n', 1)[0] : 'failed'}`);
    process.exitCode = error instanceof Fault ? error.exitCode : 1;
  }
}
