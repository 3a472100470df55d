import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { findKustomize, repositoryRoot } from '@gatehouse/embedded';
import { beforeAll, describe, expect, it } from 'vitest';
import { documentedSecrets } from './documented-secrets.ts';
import { schemaFaults } from './kubernetes-schema.ts';
import { podFaults } from './policy-pods.ts';
import { referenceFaults } from './policy-references.ts';
import { settingFaults } from './policy-settings.ts';
import { type KubeObject, render } from './render.ts';

const kustomize = findKustomize()?.path ?? '';
if (kustomize === '') console.warn('the manifests are not rendered: there is no kustomize here');
const folder = join(repositoryRoot, 'infra/k8s');
const page = readFileSync(join(repositoryRoot, 'docs/deployment.md'), 'utf8');
const secrets = documentedSecrets(page);
/** The first look at the schemas reads thousands of small modules. */
const SCHEMA_MS = 120_000;

const policyFaults = (objects: readonly KubeObject[]) => [
  ...podFaults(objects),
  ...settingFaults(objects),
  ...referenceFaults(objects, secrets),
];

/** The production overlay with every component that there is, as somebody may put it together. */
function everything(): KubeObject[] {
  const work = mkdtempSync(join(folder, 'overlays/.test-'));
  try {
    const components = readdirSync(join(folder, 'components')).filter((name) => name !== 'monitoring');
    const lines = [
      'apiVersion: kustomize.config.k8s.io/v1beta1',
      'kind: Kustomization',
      'namespace: gatehouse',
      'resources: [../production]',
      `components: [${components.map((name) => `../../components/${name}`).join(', ')}]`,
      'images: [{ name: gatehouse, newName: registry.example.com/gatehouse, newTag: 0.1.0 }]',
    ];
    writeFileSync(join(work, 'kustomization.yaml'), `${lines.join('\n')}\n`);
    return render(kustomize, work);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

describe.skipIf(kustomize === '')('the manifests', () => {
  const overlays = ['production', 'staging', 'single', 'everything'];
  const rendered = new Map<string, KubeObject[]>();
  const of = (name: string) => rendered.get(name) ?? [];

  beforeAll(() => {
    for (const name of overlays)
      rendered.set(
        name,
        name === 'everything' ? everything() : render(kustomize, join(folder, 'overlays', name)),
      );
  });

  it.each(overlays)(
    '%s: every object is valid for its schema, and has no field that the schema does not know',
    async (name) => {
      expect(of(name).length).toBeGreaterThan(10);
      expect(await schemaFaults(of(name))).toEqual([]);
    },
    SCHEMA_MS,
  );

  it.each(overlays)(
    '%s: nobody runs as root, everything is bounded, and every name leads somewhere',
    (name) => {
      expect(policyFaults(of(name))).toEqual([]);
    },
  );

  it('production has what the guides list', () => {
    const kinds = of('everything').map(({ kind }) => kind);
    for (const kind of [
      ...[
        'Namespace',
        'Deployment',
        'StatefulSet',
        'Service',
        'ServiceAccount',
        'ConfigMap',
        'ExternalSecret',
      ],
      ...['Ingress', 'HorizontalPodAutoscaler', 'PodDisruptionBudget', 'NetworkPolicy', 'Job', 'CronJob'],
      ...['ServiceMonitor', 'PrometheusRule'],
    ])
      expect(kinds).toContain(kind);
    expect(kinds).not.toContain('Secret');
  });

  it('the Secrets of the external store are the ones that the pods name, each with the keys that the page tells', () => {
    const external = of('everything').filter(({ kind }) => kind === 'ExternalSecret');
    expect(external.length).toBeGreaterThan(5);
    for (const { spec } of external)
      expect(
        spec.data.map((one: { secretKey: string }) => one.secretKey),
        spec.target.name,
      ).toEqual(secrets.get(spec.target.name));
  });

  it('every dashboard is among the ConfigMaps', () => {
    const dashboards = readdirSync(join(repositoryRoot, 'infra/grafana/dashboards')).filter((file) =>
      file.endsWith('.json'),
    );
    const files = of('production')
      .filter(({ metadata }) => metadata.labels?.grafana_dashboard === '1')
      .flatMap(({ data }) => Object.keys(data));
    expect(files.sort()).toEqual(dashboards.sort());
  });

  it('every file of the folder belongs to a kustomization', () => {
    const all = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((path) =>
      /\.(?:yaml|env)$/.test(path),
    );
    const kustomizations = all.filter((path) => path.endsWith('kustomization.yaml'));
    const named = kustomizations.flatMap((path) => {
      const text = readFileSync(join(folder, path), 'utf8');
      return [...text.matchAll(/[\w./-]+\.(?:yaml|env)/g)].map((match) =>
        relative(folder, join(folder, path, '..', match[0])),
      );
    });
    expect(all.filter((path) => !kustomizations.includes(path) && !named.includes(path))).toEqual([]);
  });

  // Each rule of the policies is broken once: what is refused here for no reason, or for another one, is no rule.
  describe('are refused when', () => {
    // biome-ignore lint/suspicious/noExplicitAny: they are broken on purpose
    type Objects = { find(kind: string, name?: string): any; all: KubeObject[] };
    const broken: [sentence: string, breakIt: (objects: Objects) => void, fault: string | RegExp][] = [
      [
        'a pod may be root',
        ({ find }) => (auth({ find }).securityContext.runAsNonRoot = false),
        'may run as root',
      ],
      ['a pod is root', ({ find }) => (auth({ find }).securityContext.runAsUser = 0), 'may run as root'],
      [
        'a file system is writable',
        ({ find }) => (box({ find }).securityContext.readOnlyRootFilesystem = false),
        'can write to its root',
      ],
      [
        'privileges may be gained',
        ({ find }) => delete box({ find }).securityContext.allowPrivilegeEscalation,
        'may gain privileges',
      ],
      [
        'a capability is kept',
        ({ find }) => (box({ find }).securityContext.capabilities.add = ['NET_RAW']),
        'keeps capabilities',
      ],
      [
        'there is no seccomp profile',
        ({ find }) => delete auth({ find }).securityContext.seccompProfile,
        'no seccomp profile',
      ],
      [
        'the network of the node is shared',
        ({ find }) => (auth({ find }).hostNetwork = true),
        'shares the node',
      ],
      [
        'a token of the cluster is mounted',
        ({ find }) => delete auth({ find }).automountServiceAccountToken,
        'token of the cluster',
      ],
      [
        'Services come as variables',
        ({ find }) => delete auth({ find }).enableServiceLinks,
        'which look like settings',
      ],
      [
        'a folder of the node is mounted',
        ({ find }) => auth({ find }).volumes.push({ name: 'x', hostPath: { path: '/' } }),
        'a folder of the node',
      ],
      [
        '/tmp is missing',
        ({ find }) =>
          (box({ find }).volumeMounts = box({ find }).volumeMounts.filter(
            (m: { name: string }) => m.name !== 'tmp',
          )),
        'has no /tmp',
      ],
      [
        'a second container hides',
        ({ find }) => auth({ find }).containers.push({ name: 'x', image: 'x:1' }),
        'more containers',
      ],
      [
        'memory has no limit',
        ({ find }) => delete box({ find }).resources.limits.memory,
        'no limit of memory',
      ],
      [
        'no processor is requested',
        ({ find }) => delete box({ find }).resources.requests.cpu,
        'requests no cpu',
      ],
      [
        'hashes do not fit into memory',
        ({ find }) => (env(box({ find }), 'MAX_CONCURRENT_HASHES').value = '16'),
        'too little memory for 16',
      ],
      [
        'hashes are as many as cores',
        ({ find }) =>
          (box({ find }).env = box({ find }).env.filter(
            (e: { name: string }) => e.name !== 'MAX_CONCURRENT_HASHES',
          )),
        'set MAX_CONCURRENT_HASHES',
      ],
      [
        'an image is the latest',
        ({ find }) => (box({ find }).image = 'registry.example.com/gatehouse:latest'),
        'not one version',
      ],
      [
        'an image has no tag',
        ({ find }) => (box({ find }).image = 'registry.example.com:5000/gatehouse'),
        'not one version',
      ],
      ['a probe is missing', ({ find }) => delete box({ find }).startupProbe, 'has no startupProbe'],
      [
        'a probe asks where nothing is',
        ({ find }) => (box({ find }).readinessProbe.httpGet.path = '/healthy'),
        'where no probe is answered',
      ],
      [
        'a probe asks at no port',
        ({ find }) => (box({ find }).readinessProbe.httpGet.port = 'web'),
        'does not name',
      ],
      [
        'liveness asks for readiness',
        ({ find }) => (box({ find }).livenessProbe.httpGet.path = '/health/ready'),
        'must not ask for readiness',
      ],
      [
        'pods are killed while they drain',
        ({ find }) => (auth({ find }).terminationGracePeriodSeconds = 20),
        'is killed before DRAIN_SECONDS',
      ],
      [
        'a rollout takes pods away first',
        ({ find }) => (find('Deployment', 'gatehouse-auth').spec.strategy.rollingUpdate.maxUnavailable = 1),
        'fewer than it should be',
      ],
      [
        'pods may be on one node',
        ({ find }) => delete auth({ find }).topologySpreadConstraints,
        'on one node',
      ],
      [
        'a setting does not exist',
        ({ find }) => box({ find }).env.push({ name: 'AUTH_LOGIN_MAX_ATTEMPT', value: '3' }),
        'which is no setting',
      ],
      [
        'a setting of the map does not exist',
        ({ all }) => (mapOf(all).JWT_SECRET = 'x'),
        'which is no setting',
      ],
      [
        'a secret is in the open',
        ({ all }) => (mapOf(all).NATS_URL = 'nats://user:word@nats:4222'),
        'NATS_URL in the open',
      ],
      [
        'a secret is in the pod',
        ({ find }) =>
          Object.assign(env(box({ find }), 'PASSWORD_PEPPER'), {
            value: 'x'.repeat(32),
            valueFrom: undefined,
          }),
        'PASSWORD_PEPPER in the open',
      ],
      [
        'a pod gets all of a Secret',
        ({ find }) => box({ find }).envFrom.push({ secretRef: { name: 'gatehouse-keys' } }),
        'everything in the Secret',
      ],
      [
        'a pod gets the secret of another',
        ({ find }) =>
          find('Deployment', 'gatehouse-gateway').spec.template.spec.containers[0].env.push(
            env(box({ find }), 'PASSWORD_PEPPER'),
          ),
        'which gateway does not read',
      ],
      [
        'a required setting is missing',
        ({ all }) => delete mapOf(all).ENCRYPTION_CURRENT_KEY_ID,
        'is not given ENCRYPTION_CURRENT_KEY_ID',
      ],
      ['a peer cannot be found', ({ all }) => delete mapOf(all).TOKEN_URL, 'is not given TOKEN_URL'],
      [
        'a required secret is optional',
        ({ find }) => (env(box({ find }), 'GATEHOUSE_SECRET').valueFrom.secretKeyRef.optional = true),
        'is not given GATEHOUSE_SECRET',
      ],
      [
        'a Secret is told of nowhere',
        ({ find }) => (env(box({ find }), 'GATEHOUSE_SECRET').valueFrom.secretKeyRef.name = 'other'),
        'no page tells to make',
      ],
      [
        'a key is told of nowhere',
        ({ find }) => (env(box({ find }), 'GATEHOUSE_SECRET').valueFrom.secretKeyRef.key = 'other'),
        'the key other',
      ],
      [
        'a ConfigMap is not there',
        ({ find }) => (box({ find }).envFrom[0].configMapRef.name = 'other'),
        'ConfigMap other',
      ],
      [
        'a service account is not there',
        ({ find }) => (auth({ find }).serviceAccountName = 'other'),
        'service account other',
      ],
      [
        'a mount has no volume',
        ({ find }) => box({ find }).volumeMounts.push({ name: 'other', mountPath: '/x' }),
        'which is no volume',
      ],
      [
        'a file lies where nothing is mounted',
        ({ find }) =>
          (env(find('StatefulSet').spec.template.spec.containers[0], 'AUDIT_CHECKPOINT_FILE').value =
            '/var/lib/gatehouse/notes'),
        'where nothing is mounted',
      ],
      [
        'a workload selects others',
        ({ find }) => (find('Deployment', 'gatehouse-auth').spec.selector.matchLabels.x = 'y'),
        'does not select its own pods',
      ],
      [
        'a Service selects nobody',
        ({ find }) => (find('Service', 'gatehouse-auth').spec.selector['app.kubernetes.io/component'] = 'x'),
        'leads to no pod',
      ],
      [
        'a Service leads to no port',
        ({ find }) => (find('Service', 'gatehouse-auth').spec.ports[0].targetPort = 'web'),
        'leads to port web',
      ],
      [
        'a budget guards nobody',
        ({ find }) =>
          (find('PodDisruptionBudget').spec.selector.matchLabels['app.kubernetes.io/component'] = 'x'),
        'guards no workload',
      ],
      [
        'a budget stops every drain',
        ({ find }) => (find('PodDisruptionBudget').spec.minAvailable = 2),
        'lets no node ever be drained',
      ],
      [
        'a scaler scales nobody',
        ({ find }) => (find('HorizontalPodAutoscaler').spec.scaleTargetRef.name = 'x'),
        'which is not there',
      ],
      [
        'a scaler leaves one pod',
        ({ find }) => (find('HorizontalPodAutoscaler').spec.minReplicas = 1),
        'leaves a single pod',
      ],
      [
        'replicas and scaler differ',
        ({ find }) => (find('Deployment', 'gatehouse-auth').spec.replicas = 5),
        'begins with other replicas',
      ],
      [
        'a policy is about nobody',
        ({ find }) => (find('NetworkPolicy', 'gatehouse-from-ingress').spec.podSelector.matchLabels.x = 'y'),
        'is about no pod',
      ],
      [
        'a policy lets nobody in',
        ({ find }) =>
          (find(
            'NetworkPolicy',
            'gatehouse-among-services',
          ).spec.ingress[0].from[0].podSelector.matchLabels.x = 'y'),
        'a pod that is not there',
      ],
      [
        'nothing is denied',
        ({ all }) =>
          all.splice(
            all.findIndex(({ metadata }) => metadata.name === 'gatehouse-default-deny'),
            1,
          ),
        'can be reached by whoever likes',
      ],
      ['the ingress has no TLS', ({ find }) => delete find('Ingress').spec.tls, 'has no TLS'],
      [
        'a host has no certificate',
        ({ find }) => (find('Ingress').spec.rules[0].host = 'other.example.com'),
        'no certificate for other',
      ],
      [
        'the ingress shows metrics',
        ({ find }) => paths({ find }).push({ ...paths({ find })[0], path: '/metrics' }),
        'passes /metrics on',
      ],
      [
        'the ingress shows everything',
        ({ find }) => paths({ find }).push({ ...paths({ find })[0], path: '/' }),
        'passes /internal/x on',
      ],
      [
        'the ingress forgets a route',
        ({ find }) => paths({ find }).shift(),
        'does not pass /api/auth/login on',
      ],
      [
        'the ingress knows a route of its own',
        ({ find }) => paths({ find }).push({ ...paths({ find })[0], path: '/graphql' }),
        'where nothing is',
      ],
      [
        'the ingress leads nowhere',
        ({ find }) => (paths({ find })[0].backend.service.name = 'x'),
        'leads to x',
      ],
      [
        'a Service is not scraped',
        ({ find }) => delete find('Service', 'gatehouse-auth').metadata.labels['app.kubernetes.io/name'],
        'leaves out a Service',
      ],
      [
        'no port is scraped',
        ({ find }) => (find('ServiceMonitor').spec.endpoints[0].port = 'metrics'),
        'scrapes a port',
      ],
      [
        'an object lies elsewhere',
        ({ find }) => (find('Service', 'gatehouse-auth').metadata.namespace = 'default'),
        'which is not made',
      ],
      [
        'a StatefulSet names no Service',
        ({ find }) => (find('StatefulSet').spec.serviceName = 'x'),
        'names the Service x',
      ],
    ];

    it.each(broken)('%s', (_sentence, breakIt, fault) => {
      const all = structuredClone(of('production'));
      const find = (kind: string, name?: string) =>
        all.find((one) => one.kind === kind && (name === undefined || one.metadata.name === name));
      breakIt({ find, all });
      expect(policyFaults(all).join('\n')).toMatch(fault);
    });

    it(
      'a field is not known, of another type, or missing',
      async () => {
        const all = structuredClone(of('production'));
        const find = (kind: string, name?: string) =>
          all.find(
            (one) => one.kind === kind && (name === undefined || one.metadata.name === name),
          ) as KubeObject;
        box({ find }).resourcez = {};
        find('Deployment', 'gatehouse-token').spec.replicas = '2';
        delete find('Deployment', 'gatehouse-gateway').spec.selector;
        find('ServiceMonitor').spec.endpoints[0].interval = '15 seconds';
        find('PrometheusRule').spec.groups[0].rules[0].severity = 'page';
        const faults = (await schemaFaults(all)).join('\n');
        expect(faults).toMatch(/gatehouse-auth: .*'"resourcez"' does not exist/);
        expect(faults).toMatch(/gatehouse-token: .*replicas must be integer/);
        expect(faults).toMatch(/gatehouse-gateway: .*selector/);
        expect(faults).toMatch(/ServiceMonitor gatehouse: .*interval must match pattern/);
        expect(faults).toMatch(/PrometheusRule gatehouse: .*'"severity"' does not exist/);
      },
      SCHEMA_MS,
    );

    // biome-ignore lint/suspicious/noExplicitAny: as above
    type Find = { find(kind: string, name?: string): any };
    const auth = ({ find }: Find) => find('Deployment', 'gatehouse-auth').spec.template.spec;
    const box = ({ find }: Find) => auth({ find }).containers[0];
    const paths = ({ find }: Find) => find('Ingress').spec.rules[0].http.paths;
    // biome-ignore lint/suspicious/noExplicitAny: as above
    const env = (container: any, name: string) =>
      container.env.find((one: { name: string }) => one.name === name);
    const mapOf = (all: KubeObject[]) =>
      all.find(({ kind, metadata }) => kind === 'ConfigMap' && metadata.name.startsWith('gatehouse-settings'))
        ?.data;
  });
});
