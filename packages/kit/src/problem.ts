/** Problem documents (RFC 9457): one table of codes, one sentence each, tested against docs/problems.md. */

interface ProblemKind {
  readonly status: number;
  readonly title: string;
  /** What the caller can do about it; docs/problems.md shows it. */
  readonly remedy: string;
}

const kind = (status: number, title: string, remedy: string): ProblemKind => ({ status, title, remedy });

/** Every problem that any route may answer with. */
export const problems = {
  invalid_request: kind(
    400,
    'The request is not valid',
    'Compare the request with /openapi.json; `errors` names each field.',
  ),
  invalid_json: kind(
    400,
    'The body is not valid JSON',
    'Send one well-formed JSON document without __proto__ or constructor keys.',
  ),
  invalid_text: kind(
    400,
    'A text holds characters that are not allowed',
    'Remove NUL characters and lone surrogates.',
  ),
  bad_cursor: kind(
    400,
    'The cursor is not valid',
    'Use next_cursor of the previous page unchanged, with the same filters.',
  ),
  weak_password: kind(
    400,
    'The password is too weak',
    'Choose another password; `reasons` says what is wrong.',
  ),
  invalid_email: kind(
    400,
    'The e-mail address is not valid',
    'Send one address in the form name@example.com.',
  ),
  reason_required: kind(
    400,
    'A reason is required',
    'Say why in the field `reason`; it is kept in the audit.',
  ),
  unauthenticated: kind(
    401,
    'A valid access token is required',
    'Send Authorization: Bearer with an access token that has not expired.',
  ),
  invalid_credentials: kind(401, 'The e-mail or password is wrong', 'Try again, or reset the password.'),
  invalid_refresh_token: kind(401, 'The refresh token is not known', 'Sign in again.'),
  refresh_expired: kind(401, 'The refresh token has expired', 'Sign in again.'),
  refresh_replayed: kind(
    401,
    'The refresh token was used before',
    'The session was ended because its token may be stolen. Sign in again.',
  ),
  session_revoked: kind(401, 'The session was ended', 'Sign in again.'),
  forbidden: kind(403, 'Not allowed', 'Ask an administrator for the role that this needs.'),
  registration_closed: kind(
    403,
    'Registration is closed',
    'Ask an administrator of the tenant for an account.',
  ),
  role_too_high: kind(403, 'The role is above your own', 'Ask somebody who holds that role.'),
  last_administrator: kind(409, 'The last administrator must stay', 'Give somebody else the role first.'),
  not_found: kind(404, 'Not found', 'Check the address and the id.'),
  unknown_tenant: kind(404, 'The tenant does not exist', 'Check tenant_id.'),
  method_not_allowed: kind(405, 'The method is not allowed here', 'Use a method of the Allow header.'),
  email_taken: kind(409, 'The e-mail address is taken', 'Sign in, or use another address.'),
  user_id_taken: kind(409, 'The user id is taken', 'Leave user_id out, or use another.'),
  tenant_id_taken: kind(409, 'The tenant id is taken', 'Leave tenant_id out, or use another.'),
  conflict: kind(409, 'The change conflicts with another', 'Read the object again and repeat the change.'),
  name_taken: kind(409, 'The name is taken', 'Choose another name.'),
  public_key_taken: kind(
    409,
    'The public key is known already',
    'Look it up by its public key; one key is one object.',
  ),
  precondition_failed: kind(
    412,
    'The object has changed since it was read',
    'Read it again and repeat the change with the new ETag in If-Match.',
  ),
  invalid_claims: kind(
    400,
    'nats-server would refuse these claims',
    '`errors` names each claim by its path and says what is wrong with it.',
  ),
  user_jwt_too_large: kind(
    400,
    'The user JWT would be too large to connect with',
    'Put permissions into a role: a user with a role carries none of its own. At most 3400 bytes.',
  ),
  account_jwt_too_large: kind(
    400,
    'The account’s JWT would be too large for a server to take',
    'Share fewer, wider exports and imports, or split the account. At most 1000000 bytes.',
  ),
  no_signing_key: kind(
    409,
    'No private key here may sign this',
    'Import a signing key of the operator or account, or add one.',
  ),
  user_revoked: kind(
    409,
    'The user is revoked',
    'Nothing is issued to it until it is restored: POST /api/nats/users/:id/restore.',
  ),
  account_not_active: kind(
    409,
    'The account is locked or being deleted',
    'Restore it first, or use another.',
  ),
  account_not_empty: kind(
    409,
    'The account still has streams',
    'Delete its streams, or give consent with purge=true.',
  ),
  allowance_exceeded: kind(
    403,
    'The tenant’s allowance does not cover this',
    'Ask a platform administrator for a larger allowance; `errors` names each limit.',
  ),
  key_in_use: kind(409, 'The key is still needed', 'The detail says by what.'),
  key_not_everywhere: kind(
    409,
    'Not every process holds the key',
    'Put it into ENCRYPTION_KEYS of the processes in `instances`, restart them, and try again.',
  ),
  invalid_import: kind(
    400,
    'The import cannot be used',
    '`errors` names each file and what is wrong with it.',
  ),
  keys_from_environment: kind(
    409,
    'The signing keys come from the environment',
    'Change JWT_PRIVATE_KEY_PEM and JWT_KID and restart.',
  ),
  rotation_pending: kind(
    409,
    'A rotation is under way',
    'Wait until the next key signs; keys list shows when.',
  ),
  already_replayed: kind(
    409,
    'The dead letter was replayed before',
    'Nothing is to be done: its consumer has taken it.',
  ),
  already_discarded: kind(
    409,
    'The dead letter was discarded before',
    'Nothing is to be done: it no longer waits. It is kept, and can be replayed.',
  ),
  unreadable: kind(
    409,
    'The dead letter cannot be given to a consumer',
    'It is no event, or this release has no consumer of that name; the detail says which. Discard it if that stays so.',
  ),
  replay_failed: kind(
    409,
    'The consumer refused the dead letter again',
    'The detail says why; mend that first, or discard it if that can never be.',
  ),
  payload_too_large: kind(413, 'The body is too large', 'Send less than the limit.'),
  uri_too_long: kind(414, 'The address is too long', 'Send fewer or shorter parameters.'),
  unsupported_media_type: kind(
    415,
    'The content type is not supported',
    'Send Content-Type: application/json.',
  ),
  locked: kind(423, 'Sign-in is locked', 'Wait for Retry-After, or ask an administrator to unlock.'),
  rate_limited: kind(429, 'Too many requests', 'Wait for Retry-After.'),
  headers_too_large: kind(431, 'The headers are too large', 'Send fewer or shorter headers.'),
  internal: kind(500, 'Something went wrong here', 'Tell the operator the trace_id.'),
  hash_busy: kind(
    503,
    'Password hashing is at its limit',
    'Wait for Retry-After. Operators: see MAX_CONCURRENT_HASHES.',
  ),
  database_unavailable: kind(
    503,
    'The database cannot be reached',
    'Try again soon. Operators: see /health.',
  ),
  upstream_unavailable: kind(
    503,
    'A service behind the gateway cannot be reached',
    'Try again soon. Operators: see /health.',
  ),
  invalid_creds: kind(
    400,
    'The creds cannot be used for this cluster',
    'Send the .creds file of a user of the system account that the operator names; the detail says what is wrong.',
  ),
  cluster_unreachable: kind(
    503,
    'No server of the cluster answers',
    'Check the addresses and that the servers run: gatehouse cluster health.',
  ),
  upstream_timeout: kind(
    504,
    'A service behind the gateway did not answer in time',
    'Try again soon. Operators: see /health.',
  ),
  starting: kind(503, 'The service is starting', 'Try again in a second. Operators: see /health.'),
} as const satisfies Record<string, ProblemKind>;

/** The stable code of a problem. */
export type ProblemCode = keyof typeof problems;

/** What may go with a problem besides its code. */
export interface ProblemOptions {
  /** A sentence for this occurrence; never holds what the caller sent or anything secret. */
  readonly detail?: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** Extension members (RFC 9457 §3.2), e.g. `reasons`. */
  readonly members?: Readonly<Record<string, unknown>>;
}

/** A refusal on its way to the caller. Only routes and hooks throw it; rules return outcomes. */
export class Problem extends Error {
  readonly code: ProblemCode;
  readonly status: number;
  readonly options: ProblemOptions;
  constructor(code: ProblemCode, options: ProblemOptions = {}) {
    super(options.detail ?? problems[code].title);
    this.name = 'Problem';
    this.code = code;
    this.status = problems[code].status;
    this.options = options;
  }
}

/** The problem with `Retry-After` in whole seconds, at least one. */
export function retryLater(code: ProblemCode, seconds: number, options: ProblemOptions = {}): Problem {
  const after = String(Math.max(1, Math.ceil(seconds)));
  return new Problem(code, { ...options, headers: { ...options.headers, 'retry-after': after } });
}

/** The document of RFC 9457 §3. `type` names the row of docs/problems.md. */
export function problemDocument(problem: Problem, traceId: string): Record<string, unknown> {
  return {
    ...problem.options.members,
    type: `urn:gatehouse:problem:${problem.code}`,
    title: problems[problem.code].title,
    status: problem.status,
    detail: problem.options.detail ?? problems[problem.code].remedy,
    code: problem.code,
    trace_id: traceId,
  };
}
