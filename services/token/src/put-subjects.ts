import { isUuid, questions } from '@gatehouse/kit';
import { answer } from './context.ts';
import { takeSubjects } from './subject.ts';

/** Users that one transaction takes; a longer list takes several. */
const SUBJECTS_PER_TRANSACTION = 200;

/** Auth tells the newest state of users. */
export const putSubjects = answer(questions.putSubjects, (ctx) => async (body, traceparent) => {
  const cause = {
    reason: body.reason,
    actorId: body.actor_id,
    clientIp: null,
    userAgent: null,
    traceparent: body.traceparent ?? traceparent,
  };
  const subjects = newestOfEach(
    body.subjects.filter(({ user_id, tenant_id }) => isUuid(user_id) && isUuid(tenant_id)),
  );
  let taken = 0;
  for (let at = 0; at < subjects.length; at += SUBJECTS_PER_TRANSACTION) {
    const chunk = subjects.slice(at, at + SUBJECTS_PER_TRANSACTION);
    const step = await ctx.db.transaction().execute((tx) => takeSubjects(tx, ctx, chunk, cause));
    for (const entry of step.entries) ctx.feed.markLocally(entry);
    ctx.relay.poke();
    taken += step.taken;
  }
  return { taken };
});

function newestOfEach(subjects: readonly questions.SubjectState[]): questions.SubjectState[] {
  const newest = new Map<string, questions.SubjectState>();
  for (const subject of subjects) {
    const other = newest.get(subject.user_id);
    if (other === undefined || other.version < subject.version) newest.set(subject.user_id, subject);
  }
  return [...newest.values()];
}
