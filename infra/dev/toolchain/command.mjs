import { spawn } from 'node:child_process';
import { accessSync, constants, statSync } from 'node:fs';
import { delimiter, join } from 'node:path';

const active = new Set();

/** Ends what is being run: for the moment the user gives up. */
export function endActiveCommands() {
  for (const child of active) child.kill('SIGTERM');
}

/** Runs a program to its end and keeps what it wrote. Never throws: a program that cannot be started has code -1. */
export function run(command, args, options = {}) {
  return new Promise((resolve) => {
    const child = spawn(command, args, {
      stdio: ['ignore', 'pipe', 'pipe'],
      cwd: options.cwd,
      env: { ...process.env, ...options.env },
      // npm is a .cmd file on Windows, and those start through the shell only.
      shell: process.platform === 'win32' && command.endsWith('.cmd'),
    });
    active.add(child);
    let output = '';
    const keep = (chunk) => {
      output += chunk;
    };
    child.stdout.on('data', keep);
    child.stderr.on('data', keep);
    const timer = options.timeoutMs && setTimeout(() => child.kill('SIGKILL'), options.timeoutMs);
    const finish = (code) => {
      clearTimeout(timer);
      active.delete(child);
      resolve({ code, output });
    };
    child.once('error', (error) => {
      output += error.message;
      finish(-1);
    });
    child.once('close', (code) => finish(code ?? -1));
  });
}

/** The first program of this name on the PATH, or undefined. */
export function onPath(name) {
  return everyOnPath(name)[0];
}

export function everyOnPath(name) {
  const ending = process.platform === 'win32' ? ['.exe', '.cmd', ''] : [''];
  const folders = (process.env.PATH ?? '').split(delimiter).filter((folder) => folder !== '');
  return folders.flatMap((folder) => ending.map((end) => join(folder, name + end))).filter(isProgram);
}

export function isProgram(path) {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false;
  }
}
