import { createInbox, type MsgHdrs, type NatsConnection } from '@nats-io/nats-core';

/** One message, rendered: nothing is left to do but to send it. */
export interface Outgoing {
  readonly subject: string;
  /** The header block as it goes over the wire, from `NATS/1.0` to the empty line. */
  readonly head: string;
  readonly body: string;
}

/** What became of a batch. */
export interface PublishOutcome {
  /** 1 at the index of each message that the stream has stored (or had stored before). */
  readonly acked: Uint8Array;
  readonly ackedCount: number;
  /** Some message found no stream: it is gone, or JetStream is off. */
  readonly missing: boolean;
  /** Why the server refused one, in its own words. */
  readonly refusal: string | undefined;
}

/** Publishes batches to JetStream and waits for the acknowledgements. */
export interface Publisher {
  readonly nc: NatsConnection;
  /** Resolves when all are answered, at the deadline, or when the connection is lost; never rejects. */
  publish(messages: readonly Outgoing[], deadlineMs: number): Promise<PublishOutcome>;
  /** Ends all waiting: the connection was lost, and no answer will come. */
  abandon(): void;
  close(): void;
}

const IN_FLIGHT_MAX = 256;

/** Prefix of the inboxes of a connection: a server may let it listen to these only. */
function inboxPrefixOf(nc: NatsConnection): string | undefined {
  return (nc as { readonly options?: { readonly inboxPrefix?: string } }).options?.inboxPrefix;
}

/**
 * A publisher over one connection. The client's own `js.publish` makes a request, a timer, three promises and a stack
 * trace of each message (about 25 µs); here a message costs one write and one look at the answer, and a batch has one
 * timer.
 */
export function createPublisher(nc: NatsConnection): Publisher {
  const inbox = `${createInbox(inboxPrefixOf(nc))}.`;
  const batches = new Map<number, Batch>();
  let batchCount = 0;
  const subscription = nc.subscribe(`${inbox}*`, {
    callback: (error, msg) => {
      if (error) return;
      const token = msg.subject.slice(inbox.length);
      const dash = token.indexOf('-');
      batches.get(Number(token.slice(0, dash)))?.answered(Number(token.slice(dash + 1)), msg.data);
    },
  });
  return {
    nc,
    publish(messages, deadlineMs) {
      batchCount += 1;
      const number = batchCount;
      return new Promise((resolve) => {
        const batch = new Batch(nc, `${inbox}${number}-`, messages, (outcome) => {
          clearTimeout(timer);
          batches.delete(number);
          resolve(outcome);
        });
        const timer = setTimeout(() => batch.finish(), deadlineMs);
        batches.set(number, batch);
        batch.send();
      });
    },
    abandon() {
      for (const batch of batches.values()) batch.finish();
    },
    close() {
      for (const batch of batches.values()) batch.finish();
      if (!nc.isClosed()) subscription.unsubscribe();
    },
  };
}

// `publish` asks the headers for nothing but their bytes, at once; so one object serves every message.
const head = { bytes: Buffer.alloc(0) as Uint8Array, encode: () => head.bytes };
const options = { reply: '', headers: head as unknown as MsgHdrs };

/** `{"stream":…}` is an acknowledgement, `{"error":…}` a refusal: one byte tells them apart. */
const ACK_BYTE = 's'.charCodeAt(0);

class Batch {
  readonly #nc: NatsConnection;
  readonly #reply: string;
  readonly #messages: readonly Outgoing[];
  readonly #done: (outcome: PublishOutcome) => void;
  readonly #acked: Uint8Array;
  #ackedCount = 0;
  #sent = 0;
  #answered = 0;
  #missing = false;
  #refusal: string | undefined;
  #finished = false;

  constructor(
    nc: NatsConnection,
    reply: string,
    messages: readonly Outgoing[],
    done: (outcome: PublishOutcome) => void,
  ) {
    this.#nc = nc;
    this.#reply = reply;
    this.#messages = messages;
    this.#done = done;
    this.#acked = new Uint8Array(messages.length);
  }

  send(): void {
    while (this.#sent < this.#messages.length && this.#sent - this.#answered < IN_FLIGHT_MAX) {
      const index = this.#sent;
      this.#sent += 1;
      this.#sendOne(index);
      if (this.#finished) return;
    }
    if (this.#answered === this.#messages.length) this.finish();
  }

  #sendOne(index: number): void {
    const message = this.#messages[index];
    if (message === undefined) return;
    try {
      head.bytes = Buffer.from(message.head);
      options.reply = this.#reply + index;
      this.#nc.publish(message.subject, Buffer.from(message.body), options);
    } catch (error) {
      // Too large for the server, or the connection is gone: this one stays in the outbox.
      this.#refusal = error instanceof Error ? error.message : String(error);
      this.#answered += 1;
      if (this.#nc.isClosed()) this.finish();
    }
  }

  answered(index: number, data: Uint8Array): void {
    if (this.#finished || index >= this.#sent) return;
    this.#answered += 1;
    if (data[2] === ACK_BYTE) {
      this.#acked[index] = 1;
      this.#ackedCount += 1;
    } else if (data.length === 0) {
      this.#missing = true; // 503, no responders: no stream has this subject
    } else {
      this.#refusal = Buffer.from(data).toString();
    }
    if (this.#answered === this.#messages.length) this.finish();
    // A quarter at a time, so that writes go out together.
    else if (this.#sent < this.#messages.length && this.#sent - this.#answered <= IN_FLIGHT_MAX * 0.75)
      this.send();
  }

  finish(): void {
    if (this.#finished) return;
    this.#finished = true;
    this.#done({
      acked: this.#acked,
      ackedCount: this.#ackedCount,
      missing: this.#missing,
      refusal: this.#refusal,
    });
  }
}
