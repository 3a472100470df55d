import type { Static, TSchema } from 'typebox';

/** One question that a service answers to the others: its own route under /internal. */
export interface Question<Ask extends TSchema = TSchema, Answer extends TSchema = TSchema> {
  readonly service: string;
  /** Kebab-case; the route is `POST /internal/<service>/<name>`. */
  readonly name: string;
  readonly ask: Ask;
  readonly answer: Answer;
  /** Only reads: asked again of another instance when the answer did not come. */
  readonly reads: boolean;
}

/** Declares a question; both sides import it, so that asking and answering are checked by one schema. */
export function question<Ask extends TSchema, Answer extends TSchema>(
  service: string,
  name: string,
  about: { ask: Ask; answer: Answer; reads?: true },
): Question<Ask, Answer> {
  return { service, name, reads: false, ...about };
}

/** What became of a question: the service answered, refused with a status, or could not be reached in time. */
export class PeerError extends Error {
  readonly service: string;
  readonly status: number | undefined;
  constructor(service: string, status: number | undefined, cause?: unknown) {
    super(status === undefined ? `${service} did not answer` : `${service} answered ${status}`, { cause });
    this.name = 'PeerError';
    this.service = service;
    this.status = status;
  }
}

/** Asks other services; a function call's worth of ceremony, in the same process or over the network. */
export interface Peer {
  /**
   * @throws PeerError when the service cannot be reached within the deadline or answers with an error.
   */
  ask<Ask extends TSchema, Answer extends TSchema>(
    about: Question<Ask, Answer>,
    body: Static<Ask>,
    options?: { traceparent?: string | undefined; deadlineMs?: number },
  ): Promise<Static<Answer>>;
  /** Names of the services that can be asked. */
  readonly services: readonly string[];
}

/** One question as it travels. */
export interface Letter {
  readonly service: string;
  readonly path: string;
  readonly body: string;
  readonly headers: Record<string, string>;
  readonly deadlineMs: number;
  readonly reads: boolean;
}

/** Sends one question; the two ways (inject, fetch) differ in nothing else. */
export type Send = (letter: Letter) => Promise<{ status: number; text: string }>;

/** Header that carries the service credential; never believed from the public side without the right value. */
export const credentialHeader = 'x-gatehouse-credential';
/** Header by which the gateway hands on the client's address; believed only beside the credential. */
export const clientIpHeader = 'x-gatehouse-client-ip';

/** A peer over `send`. */
export function createPeer(credential: string, services: readonly string[], send: Send): Peer {
  return {
    services,
    async ask(about, body, options = {}) {
      const headers: Record<string, string> = {
        'content-type': 'application/json',
        [credentialHeader]: credential,
        ...(options.traceparent === undefined ? {} : { traceparent: options.traceparent }),
      };
      const path = `/internal/${about.service}/${about.name}`;
      const letter = {
        service: about.service,
        path,
        body: JSON.stringify(body),
        headers,
        deadlineMs: options.deadlineMs ?? 3000,
        reads: about.reads,
      };
      const answer = await send(letter).catch((error: unknown) => {
        throw new PeerError(about.service, undefined, error);
      });
      if (answer.status !== 200) throw new PeerError(about.service, answer.status);
      return JSON.parse(answer.text);
    },
  };
}
