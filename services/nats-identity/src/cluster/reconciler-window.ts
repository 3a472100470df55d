/** Runs `work` on all, at most `width` at the same time; the first error ends it after what is under way. */
export async function inWindow<T>(
  all: readonly T[],
  width: number,
  work: (one: T) => Promise<void>,
): Promise<void> {
  let next = 0;
  let failed = false;
  const lane = async () => {
    while (next < all.length && !failed) {
      const one = all[next] as T;
      next += 1;
      try {
        await work(one);
      } catch (error) {
        failed = true;
        throw error;
      }
    }
  };
  const ends = await Promise.allSettled(Array.from({ length: Math.min(width, all.length) }, lane));
  const end = ends.find((one) => one.status === 'rejected');
  if (end?.status === 'rejected') throw end.reason;
}
