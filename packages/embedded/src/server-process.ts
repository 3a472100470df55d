import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, existsSync, openSync, readSync, renameSync, statSync, writeFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { EmbeddedError, reasonOf } from './embedded-error.ts';
import { type StopPlan, stopProcess } from './leftover.ts';

/** A started server. */
export interface RunningServer {
  host: string;
  port: number;
  /** Carries the password: for settings and clients, never for logs. */
  url: string;
  pid: number;
  /** Where the server's own output goes. */
  logFile: string;
  /** Settles when the process has ended, whoever ended it. */
  exited: Promise<{ code: number | null; signal: NodeJS.Signals | null }>;
  /** Orderly end, by force after a deadline. Safe to call twice. */
  stop(): Promise<void>;
  /** Ends it at once, as a power cut would (SIGKILL). */
  kill(): Promise<void>;
}

export interface ProcessPlan {
  name: string;
  binary: string;
  args: string[];
  env: Record<string, string | undefined>;
  cwd: string;
  account?: { uid: number; gid: number } | undefined;
  logFile: string;
  /** Writes to our own output instead of the log file. */
  inheritOutput?: boolean;
  pidFile?: string;
  /** How long it goes on when we vanish without a word (kill -9); 3 unless given. */
  orphanSeconds?: number;
  stop: StopPlan;
  /** Asked again and again until true; the process' end or `timeoutMs` stops the asking. */
  isReady: (pid: number) => Promise<boolean> | boolean;
  timeoutMs: number;
  /** Between two questions; 10 unless given. */
  probeIntervalMs?: number;
}

export type ServerProcess = Pick<RunningServer, 'pid' | 'exited' | 'stop' | 'kill' | 'logFile'>;

const LOG_BYTES_MAX = 10 * 1024 * 1024;
const LOG_TAIL_BYTES = 8_192;
const ORPHAN_SECONDS = 3;

/** Servers of this process that still run, so that none outlives it. */
const running = new Map<number, NodeJS.Signals>();
process.on('exit', () => {
  for (const [pid, signal] of running) {
    try {
      process.kill(pid, signal);
    } catch {
      // gone already
    }
  }
});

/** Starts the server, waits until it answers, and hands back its handle; else throws with its last log line. */
export async function startProcess(plan: ProcessPlan): Promise<ServerProcess> {
  rotate(plan.logFile);
  const logStart = existsSync(plan.logFile) ? statSync(plan.logFile).size : 0;
  const log = openSync(plan.logFile, 'a', 0o600);
  let child: ChildProcess;
  try {
    child = spawn(plan.binary, plan.args, {
      env: plan.env,
      cwd: plan.cwd,
      // A group of its own: Ctrl-C in the terminal must reach the one that stops things in order, not the database.
      detached: true,
      stdio: plan.inheritOutput ? ['ignore', 'inherit', 'inherit'] : ['ignore', log, log],
      ...plan.account,
    });
  } finally {
    closeSync(log);
  }
  const exited = new Promise<{ code: number | null; signal: NodeJS.Signals | null }>((resolve) => {
    child.once('exit', (code, signal) => resolve({ code, signal }));
    child.once('error', () => resolve({ code: -1, signal: null }));
  });
  const failure = new Promise<Error>((resolve) => child.once('error', resolve));
  const pid = child.pid;
  if (pid === undefined) {
    throw new EmbeddedError(
      `${plan.name} could not be started from ${plan.binary}: ${reasonOf(await failure)}`,
    );
  }
  child.unref();
  if (plan.pidFile !== undefined) writeFileSync(plan.pidFile, `${pid}\n`, { mode: 0o600 });
  running.set(pid, plan.stop.signal);
  const guard = followParent(pid, plan.stop.signal, plan.orphanSeconds ?? ORPHAN_SECONDS);
  void exited.then(() => {
    running.delete(pid);
    guard?.kill('SIGKILL');
  });
  await untilReady(plan, child, pid, logStart);
  return {
    pid,
    logFile: plan.logFile,
    exited,
    async stop() {
      child.ref();
      if (child.exitCode === null && child.signalCode === null) await stopProcess(pid, plan.stop);
      await exited;
    },
    async kill() {
      child.ref();
      if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL');
      await exited;
    },
  };
}

async function untilReady(
  plan: ProcessPlan,
  child: ChildProcess,
  pid: number,
  logStart: number,
): Promise<void> {
  const deadline = performance.now() + plan.timeoutMs;
  for (;;) {
    if (child.exitCode !== null || child.signalCode !== null) {
      throw new StartFailure(plan, 'ended at once', tailOf(plan.logFile, logStart));
    }
    if (await plan.isReady(pid)) return;
    if (performance.now() > deadline) {
      await stopProcess(pid, plan.stop);
      const seconds = Math.round(plan.timeoutMs / 1000);
      throw new StartFailure(plan, `did not answer within ${seconds} s`, tailOf(plan.logFile, logStart));
    }
    await delay(plan.probeIntervalMs ?? 10);
  }
}

/** A start that failed, with what the server wrote about it. */
export class StartFailure extends EmbeddedError {
  readonly output: string;
  readonly logFile: string;
  constructor(plan: ProcessPlan, what: string, output: string) {
    const lines = output.split('\n').filter((line) => line.trim() !== '');
    const telling = lines.findLast((line) => /fatal|error|panic|\[ftl\]|\[err\]|address already/i.test(line));
    const last = (telling ?? lines.at(-1) ?? 'it wrote nothing').trim();
    super(`${plan.name} ${what}: ${last} (log: ${plan.logFile})`);
    this.output = output;
    this.logFile = plan.logFile;
  }
  /** Somebody else was faster at the port. */
  get portTaken(): boolean {
    return /address already in use|could not bind/i.test(this.output);
  }
}

/**
 * A shell that holds the other end of a pipe to us and passes the stop signal on when we vanish without a word
 * (kill -9, an out-of-memory kill). Without it a killed test run leaves its databases behind.
 */
function followParent(pid: number, signal: NodeJS.Signals, seconds: number): ChildProcess | undefined {
  if (process.platform === 'win32') return undefined;
  const script = `read -r _; sleep ${seconds}; kill -${signal.slice(3)} "$1"`;
  const guard = spawn('/bin/sh', ['-c', script, 'follow-parent', String(pid)], {
    detached: true,
    stdio: ['pipe', 'ignore', 'ignore'],
    env: { PATH: process.env.PATH },
    cwd: '/',
  });
  guard.once('error', () => {});
  guard.stdin?.once('error', () => {});
  guard.unref();
  (guard.stdin as unknown as { unref?: () => void } | null)?.unref?.();
  return guard;
}

function rotate(logFile: string): void {
  if (existsSync(logFile) && statSync(logFile).size > LOG_BYTES_MAX) renameSync(logFile, `${logFile}.1`);
}

function tailOf(file: string, from: number): string {
  const size = statSync(file).size;
  const start = Math.max(from, size - LOG_TAIL_BYTES);
  const buffer = Buffer.alloc(Math.max(0, size - start));
  const fd = openSync(file, 'r');
  try {
    readSync(fd, buffer, 0, buffer.length, start);
  } finally {
    closeSync(fd);
  }
  return buffer.toString('utf8');
}
