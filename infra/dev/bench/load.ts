import { fork } from 'node:child_process';
import { join } from 'node:path';
import type { Summary } from './histogram.ts';

/** A load that a process of its own makes. */
export interface LoadPlan {
  readonly url: string;
  readonly kind: 'get' | 'post' | 'refresh' | 'login';
  readonly connections: number;
  readonly seconds: number;
  /** Requests a second over all connections; as fast as answers come when missing. */
  readonly rate?: number;
  readonly path?: string;
  /** Paths (post) to use in turn, each with an empty object as its body. */
  readonly paths?: readonly string[];
  /** Access tokens (get, post) to use in turn. */
  readonly tokens?: readonly string[];
  /** Refresh tokens, one a connection (refresh). */
  readonly refreshTokens?: readonly string[];
  /** Accounts (login). */
  readonly accounts?: readonly { email: string; password: string }[];
}

/** What came of a load; latencies by status, in milliseconds. */
export interface LoadResult {
  readonly ok: Summary;
  /** Answers other than 2xx, by status. */
  readonly refused: Readonly<Record<string, Summary>>;
}

/** Makes the load in a child process and waits for its result. */
export function makeLoad(plan: LoadPlan): Promise<LoadResult> {
  const child = fork(join(import.meta.dirname, 'generator.ts'), [], {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  });
  return new Promise((resolve, reject) => {
    child.once('message', (result) => {
      resolve(result as LoadResult);
      child.disconnect();
    });
    child.once('exit', (code) => reject(new Error(`the load generator ended with ${code}`)));
    child.send(plan);
  });
}
