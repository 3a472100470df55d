import { describe, expect, it } from 'vitest';
import {
  type AccountClaims,
  busCreds,
  busServerConfig,
  busServices,
  busTemplate,
  completeRoleTemplate,
  decodeJwt,
  makePlatformBus,
  nkeyFromSeed,
  parseCreds,
  publicBus,
  readPlatformBus,
  readPublicBus,
  validateAccountClaims,
  validateOperatorClaims,
  validateRoleTemplate,
} from './index.ts';

const bus = makePlatformBus();
const operator = decodeJwt(bus.operator.jwt);
const publicKeyOf = (seed: string) => nkeyFromSeed(seed).publicKey;

describe('the platform’s own bus', () => {
  it('has an operator that trusts its signing key only, and two accounts that this key signed', () => {
    expect(operator).toMatchObject({
      iss: publicKeyOf(bus.operator.seed),
      sub: publicKeyOf(bus.operator.seed),
    });
    expect(operator.nats).toMatchObject({
      signing_keys: [publicKeyOf(bus.operator.signing_seed)],
      system_account: publicKeyOf(bus.system_account.seed),
      strict_signing_key_usage: true,
    });
    expect(validateOperatorClaims(operator.nats)).toEqual([]);
    for (const account of [bus.system_account, bus.account])
      expect(decodeJwt(account.jwt)).toMatchObject({
        iss: publicKeyOf(bus.operator.signing_seed),
        sub: publicKeyOf(account.seed),
        name: account.name,
      });
  });

  it('breaks no rule of servers, and leaves no limit to a default', () => {
    const claimsOf = (jwt: string) => {
      const { signing_keys: _, type: __, version: ___, ...claims } = decodeJwt(jwt).nats;
      return claims as AccountClaims;
    };
    const [system, platform] = [claimsOf(bus.system_account.jwt), claimsOf(bus.account.jwt)];
    expect(validateAccountClaims(system, { systemAccount: true })).toEqual([]);
    expect(validateAccountClaims(platform)).toEqual([]);
    for (const { limits } of [system, platform])
      for (const limit of [
        'subs',
        'data',
        'payload',
        'conn',
        'leaf',
        'imports',
        'exports',
        'mem_storage',
        'disk_storage',
      ])
        expect(limits).toHaveProperty(limit);
    expect(system.limits).toMatchObject({ mem_storage: 0, disk_storage: 0 });
  });

  it.each(busServices)(
    'gives %s a role in its one normal form, and a user of it without rights of its own',
    (service) => {
      const template = busTemplate(service);
      expect(validateRoleTemplate(template)).toEqual([]);
      expect(JSON.stringify(completeRoleTemplate(template))).toBe(JSON.stringify(template));
      const role = bus.account.roles.find(({ name }) => name === service);
      const user = bus.account.users.find(({ name }) => name === service);
      expect(role?.template).toEqual(template);
      expect(decodeJwt(bus.account.jwt).nats.signing_keys).toContainEqual(
        expect.objectContaining({
          kind: 'user_scope',
          key: publicKeyOf(role?.seed ?? ''),
          role: service,
          template,
        }),
      );
      const jwt = decodeJwt(user?.jwt ?? '');
      expect(jwt).toMatchObject({
        iss: publicKeyOf(role?.seed ?? ''),
        sub: publicKeyOf(user?.seed ?? ''),
        name: service,
      });
      expect(jwt.nats).toEqual({ issuer_account: publicKeyOf(bus.account.seed), type: 'user', version: 2 });
      expect(parseCreds(busCreds(bus).get(service) ?? '')).toEqual({ jwt: user?.jwt, seed: user?.seed });
    },
  );

  it('is another one each time', () => {
    expect(publicKeyOf(makePlatformBus(['auth']).operator.seed)).not.toBe(publicKeyOf(bus.operator.seed));
  });

  it('has a public half without a private key, from which the servers’ configuration comes', () => {
    const half = publicBus(bus);
    const config = busServerConfig(half, '/some folder/"jwt"');
    for (const text of [JSON.stringify(half), config]) expect(text).not.toMatch(/\bS[OAU][A-Z2-7]{56}\b/);
    expect(config).toContain(String.raw`dir: "/some folder/\"jwt\""`);
    expect(config).toContain(`${half.account.public_key}: ${bus.account.jwt}`);
    expect(readPublicBus(JSON.stringify(half))).toEqual(half);
  });

  it('is read back whole, or refused without a word of what was read', () => {
    const text = JSON.stringify(bus);
    expect(readPlatformBus(text)).toEqual(bus);
    for (const damaged of [
      text.slice(1),
      text.slice(0, -1),
      text.replace('"version":1', '"version":2'),
      'null',
      '[]',
    ])
      expect(() => readPlatformBus(damaged)).toThrow(/^not the file of a bus$/);
  });
});
