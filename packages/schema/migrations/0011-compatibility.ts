/**
 * What older releases need to know about newer migrations: without this one of them could not tell whether it may start
 * on a database that a newer release has migrated, and would have to refuse (docs/upgrades.md).
 */
export const up = `
create table gatehouse.compatibility (
  migration text primary key,
  -- The oldest release that works with it, by the newest migration which that release knows.
  needs text not null
);
grant select on gatehouse.compatibility to gatehouse_auth, gatehouse_token, gatehouse_audit, gatehouse_gateway,
  gatehouse_natsid;
`;

export const down = `
drop table gatehouse.compatibility;
`;
