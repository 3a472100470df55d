import type { ExportRow } from './export-parts.ts';

/** The version of the Open Cybersecurity Schema Framework whose classes these are. */
export const ocsfVersion = '1.3.0';

const classes = {
  accountChange: {
    uid: 3001,
    name: 'Account Change',
    category: 3,
    categoryName: 'Identity & Access Management',
  },
  authentication: {
    uid: 3002,
    name: 'Authentication',
    category: 3,
    categoryName: 'Identity & Access Management',
  },
  apiActivity: { uid: 6003, name: 'API Activity', category: 6, categoryName: 'Application Activity' },
} as const;

/** What an event is in OCSF: a class and one of its activities. */
interface Kind {
  readonly of: (typeof classes)[keyof typeof classes];
  readonly activity: number;
  readonly activityName: string;
}

const severities: Readonly<Record<string, readonly [number, string]>> = {
  info: [1, 'Informational'],
  notice: [2, 'Low'],
  warning: [4, 'High'],
  critical: [5, 'Critical'],
};

type Json = Readonly<Record<string, unknown>>;

/** A record as one OCSF event. What its class has no attribute for is in `unmapped`, nothing is left out. */
export function ocsfLine(row: ExportRow): string {
  const data = JSON.parse(row.data) as Json;
  const personal = row.personal === null ? {} : (JSON.parse(row.personal) as Json);
  const { of, activity, activityName } = kindOf(row.type, data);
  const [severityId, severity] = severities[row.severity] ?? [99, row.severity];
  return JSON.stringify({
    class_uid: of.uid,
    class_name: of.name,
    category_uid: of.category,
    category_name: of.categoryName,
    activity_id: activity,
    activity_name: activityName,
    type_uid: of.uid * 100 + activity,
    type_name: `${of.name}: ${activityName}`,
    time: row.occurred_at.getTime(),
    severity_id: severityId,
    severity,
    ...statusOf(row.outcome, data),
    metadata: metadataOf(row),
    ...subjectsOf(of, row, { ...data, ...personal }),
    unmapped: {
      ...{ chain: row.chain, sequence: row.sequence, hash: row.hash.toString('hex') },
      ...{
        source: row.source,
        subject: row.subject,
        data,
        personal: row.personal === null ? null : personal,
      },
    },
  });
}

function metadataOf(row: ExportRow): Json {
  return {
    version: ocsfVersion,
    product: { name: 'Gatehouse', vendor_name: 'Gatehouse' },
    uid: row.id,
    event_code: row.type,
    log_name: 'audit',
    logged_time: row.recorded_at.getTime(),
    ...(row.tenant_id !== null && { tenant_uid: row.tenant_id }),
    ...(row.trace_id !== null && { correlation_uid: row.trace_id }),
  };
}

function statusOf(outcome: string | null, data: Json): Json {
  const [id, name] =
    outcome === 'success' ? [1, 'Success'] : outcome === 'failure' ? [2, 'Failure'] : [0, 'Unknown'];
  return {
    status_id: id,
    status: name,
    ...(typeof data.reason === 'string' && { status_detail: data.reason }),
  };
}

/** Who it concerns, who did it, and from where, as the class wants it. */
function subjectsOf(of: Kind['of'], row: ExportRow, fields: Json): Json {
  const ip = typeof fields.client_ip === 'string' ? fields.client_ip : undefined;
  const src_endpoint = ip === undefined ? { svc_name: row.source } : { ip };
  const agent = typeof fields.user_agent === 'string' && { http_request: { user_agent: fields.user_agent } };
  const email = typeof fields.email === 'string' ? fields.email : undefined;
  const user = {
    ...(row.user_id !== null && { uid: row.user_id }),
    ...(email !== undefined && { email_addr: email }),
    name: email ?? row.user_id ?? 'unknown',
  };
  const actor = row.actor === null ? { app_name: row.source } : { user: { uid: row.actor, name: row.actor } };
  if (of === classes.apiActivity)
    return {
      ...{ actor, src_endpoint, ...agent, api: { operation: row.type, service: { name: row.source } } },
      ...(row.subject !== null && { resources: [{ name: row.subject }] }),
    };
  const session = typeof fields.session_id === 'string' ? { session: { uid: fields.session_id } } : {};
  if (of === classes.authentication)
    return { user, actor, src_endpoint, ...agent, ...session, service: { name: 'Gatehouse' } };
  return { user, actor, src_endpoint, ...agent };
}

const kind = (of: Kind['of'], activity: number, activityName: string): Kind => ({
  of,
  activity,
  activityName,
});

const { accountChange, authentication, apiActivity } = classes;
const accountVerbs: Readonly<Record<string, readonly [number, string]>> = {
  created: [1, 'Create'],
  deleted: [6, 'Delete'],
  role_changed: [7, 'Attach Policy'],
};
const accountStates: Readonly<Record<string, readonly [number, string]>> = {
  active: [2, 'Enable'],
  locked: [9, 'Lock'],
  disabled: [5, 'Disable'],
  deleted: [6, 'Delete'],
};

function kindOf(type: string, data: Json): Kind {
  if (type.startsWith('auth.login.')) return kind(authentication, 1, 'Logon');
  if (type === 'session.revoked' || type === 'session.ended') return kind(authentication, 2, 'Logoff');
  if (type.startsWith('session.')) return kind(authentication, 99, 'Other');
  if (type.startsWith('auth.register.')) return kind(accountChange, 1, 'Create');
  if (type.startsWith('auth.password.')) return kind(accountChange, 3, 'Password Change');
  if (type === 'auth.lockout')
    return data.action === 'unlocked' ? kind(accountChange, 2, 'Enable') : kind(accountChange, 9, 'Lock');
  if (type === 'admin.user.status_changed')
    return kind(accountChange, ...(accountStates[String(data.after)] ?? [99, 'Other']));
  if (type.startsWith('admin.user.'))
    return kind(accountChange, ...(accountVerbs[type.slice('admin.user.'.length)] ?? [99, 'Other']));
  return kind(apiActivity, ...crudOf(type));
}

const crud: readonly (readonly [RegExp, number, string])[] = [
  [/(?:created|issued|added|imported|registered|granted)$/, 1, 'Create'],
  [/(?:exported|read|shown)$/, 2, 'Read'],
  [/(?:deleted|removed|dropped|erased|revoked|destroyed)$/, 4, 'Delete'],
  [/(?:changed|updated|rotated|renamed|reset|restored|disabled|enabled|set|signed|replayed)$/, 3, 'Update'],
];

function crudOf(type: string): readonly [number, string] {
  const found = crud.find(([form]) => form.test(type));
  return found === undefined ? [99, 'Other'] : [found[1], found[2]];
}
