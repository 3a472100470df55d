/** The Secrets that a page tells to make with kubectl, each with its keys. */
export function documentedSecrets(page: string): Map<string, string[]> {
  const commands = page.replaceAll('\\\n', ' ').match(/create secret generic [^\n]*/g) ?? [];
  return new Map(
    commands.map((command) => {
      const name = /generic (\S+)/.exec(command)?.[1] ?? '';
      return [
        name,
        [...command.matchAll(/--from-(?:literal|file)=([^\s=]+)=/g)].map((match) => match[1] ?? ''),
      ];
    }),
  );
}
