import { expect } from 'vitest';
import { type Fault, keepDoing } from './fault.ts';
import { newPerson, type Person } from './platform.ts';
import type { Stage } from './symptom-stage.ts';

const nothing = /^\{\} 0$/m;

/** Somebody of the internet: another address at every call, as the proxy in front tells it. */
function addresses(prefix: string): () => Record<string, string> {
  let count = 0;
  return () => {
    count += 1;
    return { 'x-forwarded-for': `${prefix}.${Math.floor(count / 250) % 250}.${(count % 250) + 1}` };
  };
}

const guess = ({ platform }: Stage, email: string, headers: Record<string, string>) =>
  platform.api.post('/api/auth/login', { email, password: 'WrongPassword123' }, { headers });

/** Whom the placeholders of the page name. */
let victim: Person;
const named = (command: string): string =>
  command.replaceAll('ada@example.com', victim.email).replaceAll('<user-id>', victim.user_id);

const stuffing: Fault = {
  title: 'leaked passwords are tried out from everywhere: sign-ins fail, accounts lock',
  only: 'split',
  leads: [
    {
      section: 'GatehouseLoginFailuresHigh',
      cause: [/unknown_address +[1-9]\d+/, /198\.51\.\d+\.\d+/],
      mended: [/\} 0(?:\.0\d*)?$/m],
    },
    {
      section: 'GatehouseLockoutsHigh',
      cause: [/auth\.lockout +.*198\.51\./, /AUTH_LOGIN_MAX_ATTEMPTS +1/],
      mended: [/^locked_until +-$/m],
      fill: (command) => named(command),
    },
  ],
  async inject(stage) {
    victim = await newPerson(stage.platform.api);
    const from = addresses('198.51');
    await guess(stage, victim.email, from());
    let account = 0;
    const stop = keepDoing(async () => {
      account += 1;
      const email = `leaked-${account}@example.com`;
      await guess(stage, email, from());
    }, 2);
    // Blocked in front.
    return stop;
  },
};

const office = '203.0.113.77';

const crowd: Fault = {
  title: 'more at once than fits: no place to hash, and one address beyond its limit',
  only: 'split',
  leads: [
    {
      section: 'GatehouseHashBusy',
      cause: [
        /"result":"hash_busy"\} [0-9.]*[1-9]/,
        /auth_password_hashes_in_flight [1-9]/,
        /auth\.hash_busy/,
      ],
      mended: [nothing],
    },
    {
      section: 'GatehouseRateLimitSustained',
      labels: { scope: 'refresh' },
      cause: [/"scope":"refresh"/, new RegExp(office.replaceAll('.', '\\.'))],
      mended: [nothing],
      fill: (command) => command.replaceAll('<address>', office),
    },
  ],
  async inject(stage) {
    const { api } = stage.platform;
    const from = addresses('192.0');
    const stopCrowd = keepDoing(() => guess(stage, `crowd-${Math.random()}@example.com`, from()), 24, 5);
    const headers = { 'x-forwarded-for': office };
    const refresh_token = 'A'.repeat(43);
    const stopOffice = keepDoing(() => api.post('/api/auth/refresh', { refresh_token }, { headers }), 2, 50);
    return async () => {
      await Promise.all([stopCrowd(), stopOffice()]);
      // Set back: the office gets in again at once.
      expect((await api.post('/api/auth/refresh', { refresh_token }, { headers })).status).toBe(401);
    };
  },
};

const replay: Fault = {
  title: 'a refresh token is used twice',
  momentary: true,
  leads: [
    {
      section: 'GatehouseRefreshReplay',
      cause: [/"client_ip":"198\.18\.0\.9"/, /"user_agent":"thief"/, /first_used_by/],
      mended: [nothing],
      // No session is left of whoever it was.
      gone: [/[0-9a-f]{8}-[0-9a-f]{4}-7/],
      fill: (command) => named(command),
    },
  ],
  async inject({ platform: { api } }) {
    victim = await newPerson(api);
    const { refresh_token } = victim;
    expect((await api.post('/api/auth/refresh', { refresh_token })).status).toBe(200);
    const headers = { 'x-forwarded-for': '198.18.0.9', 'user-agent': 'thief' };
    const again = await api.post('/api/auth/refresh', { refresh_token }, { headers });
    expect(again.body.code, again.text).toBe('refresh_replayed');
    return async () => {};
  },
};

/** What people, and those who claim to be them, do to it. */
export const faultsOfPeople: readonly Fault[] = [stuffing, crowd, replay];
