/**
 * The indexes that searches of the audit trail need beyond those in time order of tenant, type, user and actor.
 *
 * Each costs every event that is recorded, so what is seldom (failures, what is grave) is a partial index, the trace, of
 * which an event has few siblings, a hash, and words are gathered in the index's pending list before they are sorted in.
 */
export const up = `
-- Of one tenant: a type, or what is seldom, that others have many of and this one none is not looked for in all its rows.
create index event_by_tenant_type on audit.event (tenant_id, type, occurred_at desc, id desc);
create index event_by_tenant_severity on audit.event (tenant_id, severity, occurred_at desc, id desc) where severity <> 'info';
create index event_by_tenant_outcome on audit.event (tenant_id, outcome, occurred_at desc, id desc) where outcome <> 'success';
create index event_by_subject on audit.event (subject, occurred_at desc, id desc);
create index event_by_address on audit.event (client_ip, occurred_at desc, id desc) where client_ip is not null;
create index event_by_trace on audit.event using hash (trace_id);
create index event_by_severity on audit.event (severity, occurred_at desc, id desc) where severity <> 'info';
create index event_by_outcome on audit.event (outcome, occurred_at desc, id desc) where outcome <> 'success';

-- The words of a text, in lower case: what is left between white space and the signs below. '-' and '_' are part of a
-- word, so that ids stay whole.
create function audit.words_of(said text) returns text[]
language sql immutable strict parallel safe
return array_remove(regexp_split_to_array(lower(said), '[][\\s"{}(),.;:@/\\\\+*=?!<>|&%#$~^\`'']+'), '');

-- The words of an event: of its type, its subject, and every text of its data but ids and times that searches have
-- filters for. Costly: the planner must not choose to work it out row by row.
create function audit.words(type text, subject text, data jsonb, personal jsonb) returns text[]
language sql immutable parallel safe cost 1000
return audit.words_of(type || ' ' || coalesce(subject, '')
  || ' ' || jsonb_path_query_array(data - '{tenant_id,trace_id,occurred_at}'::text[], '$.** ? (@.type() == "string")')::text
  || ' ' || coalesce(jsonb_path_query_array(personal, '$.** ? (@.type() == "string")')::text, ''));

revoke all on function audit.words_of(text), audit.words(text, text, jsonb, jsonb) from public;
grant execute on function audit.words_of(text), audit.words(text, text, jsonb, jsonb) to gatehouse_audit;

create index event_by_word on audit.event using gin (audit.words(type, subject, data, personal));
`;

export const down = `
drop index audit.event_by_tenant_outcome, audit.event_by_tenant_severity, audit.event_by_tenant_type,
  audit.event_by_word, audit.event_by_outcome, audit.event_by_severity, audit.event_by_trace,
  audit.event_by_address, audit.event_by_subject;
drop function audit.words(text, text, jsonb, jsonb);
drop function audit.words_of(text);
`;
