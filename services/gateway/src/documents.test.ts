import { createRequire } from 'node:module';
import { catalogue } from '@gatehouse/events';
import { problems } from '@gatehouse/kit';
import { startPlatform, type TestPlatform } from '@gatehouse/kit/testing';
import { Validator } from '@seriousme/openapi-schema-validator';
import { Ajv } from 'ajv';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { asyncApiDocument } from './asyncapi.ts';
import { docsPage } from './docs-page.ts';
import { gateway } from './service.ts';

const nowhere = 'http://127.0.0.1:9';

describe('the documents', () => {
  let platform: TestPlatform;
  beforeAll(async () => {
    platform = await startPlatform([gateway], {
      AUTH_URL: nowhere,
      TOKEN_URL: nowhere,
      AUDIT_URL: nowhere,
      NATS_IDENTITY_URL: nowhere,
    });
  });
  afterAll(() => platform?.close());

  it('/openapi.json is valid by the published schema of OpenAPI 3.1', async () => {
    const { status, body } = await platform.api.get('/openapi.json');
    expect(status).toBe(200);
    const { valid, errors } = await new Validator().validate(body);
    expect(errors).toBeUndefined();
    expect(valid).toBe(true);
    expect(body.openapi).toBe('3.1.0');
    expect(body.components.schemas.Problem.properties.code.enum).toEqual(Object.keys(problems));
    expect(body.components.securitySchemes.bearer).toMatchObject({ type: 'http', scheme: 'bearer' });
    for (const path of ['/health', '/health/live', '/health/ready', '/metrics', '/docs'])
      expect(Object.keys(body.paths)).toContain(path);
  });

  it('/asyncapi.json is valid by the published schema of AsyncAPI 3 and holds every event', async () => {
    const { status, body } = await platform.api.get('/asyncapi.json');
    expect(status).toBe(200);
    const schema = createRequire(import.meta.url)('@asyncapi/specs/schemas/3.0.0-without-$id.json');
    const validate = new Ajv({ strict: false, allErrors: true, validateFormats: false }).compile(schema);
    validate(body);
    expect(validate.errors).toBeNull();
    const addresses = Object.values(body.channels as Record<string, { address: string }>);
    expect(addresses.map(({ address }) => address).sort()).toEqual(catalogue.map(({ type }) => type).sort());
    const message = body.components.messages.security_refresh_replay_detected;
    expect(message.payload.required).toEqual(
      expect.arrayContaining(['tenant_id', 'trace_id', 'occurred_at', 'user_id', 'family_id']),
    );
    expect(Object.keys(message.headers.properties)).toEqual(
      expect.arrayContaining(['ce-id', 'ce-type', 'ce-time']),
    );
  });

  it('every reference in the AsyncAPI document leads somewhere', () => {
    const document = asyncApiDocument();
    const refs = [...JSON.stringify(document).matchAll(/"\$ref":"#\/([^"]+)"/g)].map(
      (match) => match[1] ?? '',
    );
    expect(refs.length).toBeGreaterThan(catalogue.length * 2);
    for (const ref of refs) {
      const target = ref
        .split('/')
        .reduce<unknown>((at, key) => (at as Record<string, unknown>)?.[key], document);
      expect(target, ref).toBeDefined();
    }
  });

  it('/docs is a page without scripts or anything from elsewhere, held to it by its policy', async () => {
    const { status, headers, text } = await platform.api.get('/docs');
    expect(status).toBe(200);
    expect(headers.get('content-type')).toContain('text/html');
    const policy = headers.get('content-security-policy');
    expect(policy).toContain("default-src 'none'");
    expect(policy).toContain("frame-ancestors 'none'");
    expect(policy).not.toContain('unsafe');
    expect(text).not.toMatch(/<script|https?:\/\/|<link|<img|url\(/);
    expect(text).toContain('/health/live');
  });

  it('what a document says cannot become markup', () => {
    const evil = '<script>alert("x")</script>';
    const page = docsPage({
      info: { title: evil, version: '1', description: evil },
      paths: {
        [`/${evil}`]: { get: { summary: evil, tags: [evil], responses: { '200': { description: evil } } } },
      },
    });
    expect(page).not.toContain('<script');
    expect(page).toContain('&lt;script&gt;');
  });
});
