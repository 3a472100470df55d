/** Finds one event by its id: the primary key begins with the time, which whoever holds only an id does not know. */
export const up = `
-- Ids are UUID v7: new ones go to the end of the index, which stays dense and warm.
create index event_by_id on audit.event (id);
`;

export const down = `
drop index audit.event_by_id;
`;
