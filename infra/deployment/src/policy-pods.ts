import { endingSeconds, probePaths } from './catalogue.ts';
import { type KubeObject, nameOf } from './render.ts';

// biome-ignore lint/suspicious/noExplicitAny: the schema has been asked before
type Spec = Record<string, any>;

/** The pods that an installation starts, whatever starts them. */
export interface Workload {
  readonly name: string;
  readonly object: KubeObject;
  readonly labels: Readonly<Record<string, string>>;
  readonly pod: Spec;
  readonly container: Spec;
  /** `auth`, `all-in-one`; undefined for what runs a command and ends. */
  readonly process: string | undefined;
  /** Settings as the pod would read them; a secret's value is not known. */
  readonly env: Readonly<Record<string, string>>;
}

const STARTS_PODS = new Set(['Deployment', 'StatefulSet', 'DaemonSet', 'Job', 'CronJob']);

/** Every workload of an installation. */
export function workloads(objects: readonly KubeObject[]): Workload[] {
  return objects
    .filter(({ kind }) => STARTS_PODS.has(kind))
    .map((object) => {
      const { metadata, spec: pod } = (object.kind === 'CronJob' ? object.spec.jobTemplate.spec : object.spec)
        .template;
      const container = pod.containers[0];
      const words = [...(container.command ?? []), ...(container.args ?? [])].join(' ');
      return {
        name: nameOf(object),
        object,
        labels: metadata?.labels ?? {},
        pod,
        container,
        process: /services\/([a-z-]+)\/src\/main\.ts/.exec(words)?.[1],
        env: plainEnv(container, objects),
      };
    });
}

function plainEnv(container: Spec, objects: readonly KubeObject[]): Record<string, string> {
  const env: Record<string, string> = {};
  for (const { configMapRef } of container.envFrom ?? [])
    Object.assign(
      env,
      objects.find((one) => one.kind === 'ConfigMap' && one.metadata.name === configMapRef?.name)?.data,
    );
  for (const { name, value } of container.env ?? []) if (value !== undefined) env[name] = value;
  return env;
}

/** What is wrong with how pods are run. */
export function podFaults(objects: readonly KubeObject[]): string[] {
  return workloads(objects).flatMap((one) =>
    [
      ...accountFaults(one),
      ...resourceFaults(one),
      ...imageFaults(one),
      ...(one.process ? lifeFaults(one) : []),
    ].map((fault) => `${one.name} ${fault}`),
  );
}

function accountFaults({ pod, container }: Workload): string[] {
  const own = container.securityContext ?? {};
  const whole = pod.securityContext ?? {};
  const rules: [boolean, string][] = [
    [pod.containers.length === 1 && !pod.initContainers, 'has more containers than these rules look at'],
    [
      (own.runAsNonRoot ?? whole.runAsNonRoot) === true && (own.runAsUser ?? whole.runAsUser) > 0,
      'may run as root',
    ],
    [own.readOnlyRootFilesystem === true, 'can write to its root file system'],
    [own.allowPrivilegeEscalation === false, 'may gain privileges'],
    [String(own.capabilities?.drop) === 'ALL' && !own.capabilities?.add, 'keeps capabilities'],
    [(own.seccompProfile ?? whole.seccompProfile)?.type === 'RuntimeDefault', 'has no seccomp profile'],
    [own.privileged !== true && !pod.hostNetwork && !pod.hostPID && !pod.hostIPC, 'shares the node'],
    [pod.automountServiceAccountToken === false, 'holds a token of the cluster'],
    [
      pod.enableServiceLinks === false,
      'is told of Services by environment variables, which look like settings',
    ],
    [pod.serviceAccountName !== undefined, 'shares the default service account'],
    [!(pod.volumes ?? []).some((volume: Spec) => volume.hostPath), 'mounts a folder of the node'],
    [
      (container.volumeMounts ?? []).some(({ mountPath }: Spec) => mountPath === '/tmp'),
      'has no /tmp, and a read-only root file system',
    ],
  ];
  return rules.filter(([holds]) => !holds).map(([, fault]) => fault);
}

const HASH_MIB = 64;
/** Of a service at work, without what it hashes. */
const SERVICE_MIB = 256;

function resourceFaults({ container, process, env }: Workload): string[] {
  const faults: string[] = [];
  const { requests = {}, limits = {} } = container.resources ?? {};
  for (const what of ['cpu', 'memory']) {
    if (requests[what] === undefined) faults.push(`requests no ${what}`);
    if (limits[what] === undefined) faults.push(`has no limit of ${what}`);
  }
  if (process !== 'auth' && process !== 'all-in-one') return faults;
  const hashes = Number(env.MAX_CONCURRENT_HASHES);
  if (!(hashes > 0))
    faults.push('hashes passwords on as many cores as the node has: set MAX_CONCURRENT_HASHES');
  else if (mebibytes(limits.memory) < SERVICE_MIB + hashes * HASH_MIB)
    faults.push(`has too little memory for ${hashes} hashes at once`);
  return faults;
}

function mebibytes(quantity: string | undefined): number {
  const [, number, unit] = /^(\d+)(Mi|Gi)$/.exec(quantity ?? '') ?? [];
  return Number(number ?? 0) * (unit === 'Gi' ? 1024 : 1);
}

function imageFaults({ container }: Workload): string[] {
  const image = String(container.image);
  const fixed = /@sha256:[0-9a-f]{64}$|:[^/:]+$/.test(image) && !/:latest$/.test(image);
  return fixed ? [] : [`runs ${image}, which is not one version`];
}

function lifeFaults({ object, pod, container, env }: Workload): string[] {
  const faults: string[] = [];
  const ports = (container.ports ?? []).map(({ name }: Spec) => name);
  for (const probe of ['startupProbe', 'readinessProbe', 'livenessProbe']) {
    const get = container[probe]?.httpGet;
    if (get === undefined) faults.push(`has no ${probe}`);
    else if (!probePaths.has(get.path))
      faults.push(`asks ${get.path} by its ${probe}, where no probe is answered`);
    else if (!ports.includes(get.port))
      faults.push(`asks at port ${get.port}, which the container does not name`);
  }
  if (container.livenessProbe?.httpGet?.path.includes('ready'))
    faults.push('is killed while something that it stands on is away: liveness must not ask for readiness');
  const waits = Number(container.lifecycle?.preStop?.sleep?.seconds ?? 0);
  if (pod.terminationGracePeriodSeconds < waits + endingSeconds(env) + 5)
    faults.push('is killed before DRAIN_SECONDS and SHUTDOWN_TIMEOUT_SECONDS are over');
  if (object.kind === 'Deployment' && object.spec.strategy?.rollingUpdate?.maxUnavailable !== 0)
    faults.push('is fewer than it should be while it is rolled');
  if (!pod.topologySpreadConstraints?.length) faults.push('may have all its pods on one node');
  return faults;
}
