import { answersOf, type Context, type JobDefinition, routesOf } from '@gatehouse/kit';
import type { TokenDatabase } from '@gatehouse/schema';
import type { Transaction } from 'kysely';
import type { AccessTokens } from './access-token.ts';
import type { KeyRing } from './key-ring.ts';
import type { RefreshTokens } from './refresh-token.ts';
import type { TokenConfig } from './settings.ts';

/** What the use cases of this service share beyond the kit's context. */
export interface TokenParts {
  readonly ring: KeyRing;
  readonly accessTokens: AccessTokens;
  readonly refreshTokens: RefreshTokens;
}

export type TokenContext = Context<TokenConfig, TokenDatabase> & TokenParts;
export type TokenTransaction = Transaction<TokenDatabase>;
export type TokenJob = JobDefinition<TokenContext>;

export const route = routesOf<TokenContext>();
export const answer = answersOf<TokenContext>();
