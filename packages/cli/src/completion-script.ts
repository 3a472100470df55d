import type { CompletedOption, Place, Value } from './completion.ts';

/** The shells that completion is made for. */
export const shells = ['bash', 'zsh', 'fish'] as const;
export type Shell = (typeof shells)[number];

/** The script that a shell reads once; it starts nothing, but for the names of profiles. */
export function completionScript(shell: Shell, places: readonly Place[]): string {
  return makers[shell](places);
}

const makers: Readonly<Record<Shell, (places: readonly Place[]) => string>> = {
  bash: bashScript,
  zsh: zshScript,
  fish: fishScript,
};

const pathOf = ({ path }: Place): string => path.join(' ');
const words = (names: readonly string[]): string => names.join(' ');
const profiles = 'gatehouse profile list --quiet 2>/dev/null';

/** Options whose value is another word, of every place: what follows them is no command. */
const takers = (places: readonly Place[]): string[] => [
  ...new Set(
    places.flatMap(({ options }) =>
      options.filter(({ value }) => value !== undefined).map(({ name }) => name),
    ),
  ),
];

/** The lines that leave the words of the command in `at`: not in `path`, which is zsh's own, whatever options stand between; bash and zsh read them alike. */
const findPath = (places: readonly Place[], known: string) => `
  at=''
  skip=''
  for word in "\${words_before[@]}"; do
    if [[ -n $skip ]]; then skip=''; continue; fi
    case "$word" in
      ${takers(places).join('|')}) skip=1 ;;
      -*) ;;
      *) if [[ " ${known} " == *" :\${at:+$at }$word: "* ]]; then at="\${at:+$at }$word"; fi ;;
    esac
  done`;

// Blanks within a path would end the word in the list of known paths, hence the colons around each.
const knownPaths = (places: readonly Place[]): string =>
  places
    .filter(({ path }) => path.length > 0)
    .map((place) => `:${pathOf(place)}:`)
    .join(' ');

function bashScript(places: readonly Place[]): string {
  const cases = places.map(
    (place) => `    '${pathOf(place)}')
      commands='${words(place.commands.map(({ name }) => name))}'
      options='${words(place.options.map(({ name }) => name))}'
      argument='${argumentWords(place.argument)}'
      case "$before" in
${bashValues(place.options)}
      esac ;;`,
  );
  return `# bash completion of gatehouse, made by "gatehouse completion bash". To have it in every shell:
#   gatehouse completion bash > ~/.local/share/bash-completion/completions/gatehouse
_gatehouse() {
  local current="\${COMP_WORDS[COMP_CWORD]}" before="\${COMP_WORDS[COMP_CWORD-1]}"
  local words_before=("\${COMP_WORDS[@]:1:COMP_CWORD-1}")
  local at word skip commands options argument value=''
${findPath(places, knownPaths(places))}
  case "$at" in
${cases.join('\n')}
  esac
  COMPREPLY=()
  case "$value" in
    file) compopt -o filenames; mapfile -t COMPREPLY < <(compgen -f -- "$current"); return ;;
    folder) compopt -o filenames; mapfile -t COMPREPLY < <(compgen -d -- "$current"); return ;;
    profile) mapfile -t COMPREPLY < <(compgen -W "$(${profiles})" -- "$current"); return ;;
    any) return ;;
    ?*) mapfile -t COMPREPLY < <(compgen -W "$value" -- "$current"); return ;;
  esac
  if [[ $current == -* ]]; then mapfile -t COMPREPLY < <(compgen -W "$options" -- "$current"); return; fi
  case "$argument" in
    file) compopt -o filenames; mapfile -t COMPREPLY < <(compgen -f -- "$current") ;;
    folder) compopt -o filenames; mapfile -t COMPREPLY < <(compgen -d -- "$current") ;;
    *) mapfile -t COMPREPLY < <(compgen -W "$commands $argument" -- "$current") ;;
  esac
}
complete -F _gatehouse gatehouse
`;
}

/** What follows an option, as the branches of \`case "$before"\`. */
function bashValues(options: readonly CompletedOption[]): string {
  const branches = options.flatMap(({ name, value }) =>
    value === undefined ? [] : [`        ${name}) value='${valueWords(value)}' ;;`],
  );
  return branches.length === 0 ? '        *) ;;' : branches.join('\n');
}

const valueWords = (value: Value): string => (value.kind === 'choices' ? words(value.choices) : value.kind);

const argumentWords = (value: Value | undefined): string =>
  value === undefined || value.kind === 'any' || value.kind === 'profile' ? '' : valueWords(value);

function zshScript(places: readonly Place[]): string {
  const cases = places.map(
    (place) => `    '${pathOf(place)}')
      commands=(${described(place.commands)})
      options=(${described(place.options)})
      argument='${argumentWords(place.argument)}'
      case "$before" in
${bashValues(place.options)}
      esac ;;`,
  );
  return `#compdef gatehouse
# zsh completion of gatehouse, made by "gatehouse completion zsh". Put it into a folder of $fpath as _gatehouse:
#   gatehouse completion zsh > "\${fpath[1]}/_gatehouse"
_gatehouse() {
  local current="\${words[CURRENT]}" before="\${words[CURRENT-1]}"
  local -a words_before commands options
  words_before=("\${(@)words[2,CURRENT-1]}")
  local at word skip argument value=''
${findPath(places, knownPaths(places))}
  case "$at" in
${cases.join('\n')}
  esac
  case "$value" in
    file) _files; return ;;
    folder) _files -/; return ;;
    profile) compadd -- \${(f)"$(${profiles})"}; return ;;
    any) return ;;
    ?*) compadd -- \${=value}; return ;;
  esac
  if [[ $current == -* ]]; then _describe -o 'option' options; return; fi
  case "$argument" in
    file) _files ;;
    folder) _files -/ ;;
    ?*) compadd -- \${=argument} ;;
  esac
  (( \${#commands} )) && _describe 'command' commands
}
if [[ "$funcstack[1]" == _gatehouse ]]; then _gatehouse "$@"; else compdef _gatehouse gatehouse; fi
`;
}

const described = (named: readonly { name: string; description: string }[]): string =>
  named.map(({ name, description }) => `'${name}:${description.replaceAll(':', ' ')}'`).join(' ');

function fishScript(places: readonly Place[]): string {
  const lines = places.flatMap((place) => {
    const here = `-n "__gatehouse_at '${pathOf(place)}'"`;
    return [
      ...place.commands.map(
        ({ name, description }) => `complete -c gatehouse ${here} -a '${name}' -d '${description}'`,
      ),
      ...place.options.map((option) => `complete -c gatehouse ${here} ${fishOption(option)}`),
      ...fishArgument(place.argument).map((what) => `complete -c gatehouse ${here} ${what}`),
    ];
  });
  return `# fish completion of gatehouse, made by "gatehouse completion fish". To have it in every shell:
#   gatehouse completion fish > ~/.config/fish/completions/gatehouse.fish
function __gatehouse_path
  set -l known ${places.flatMap(({ path }) => (path.length === 0 ? [] : [`'${path.join(' ')}'`])).join(' ')}
  set -l taking ${takers(places).join(' ')}
  set -l at ''
  set -l skip 0
  for word in (commandline -opc)[2..]
    if test $skip -eq 1
      set skip 0
    else if contains -- $word $taking
      set skip 1
    else if contains -- (string trim -- "$at $word") $known
      set at (string trim -- "$at $word")
    end
  end
  echo -n $at
end
function __gatehouse_at
  test (__gatehouse_path | string collect --allow-empty) = "$argv[1]"
end
complete -c gatehouse -f
${lines.join('\n')}
`;
}

function fishOption({ name, description, value }: CompletedOption): string {
  const long = `-l '${name.replace(/^--/, '')}' -d '${description}'`;
  if (value === undefined) return long;
  if (value.kind === 'choices') return `${long} -x -a '${words(value.choices)}'`;
  if (value.kind === 'profile') return `${long} -x -a '(${profiles})'`;
  return value.kind === 'file' || value.kind === 'folder' ? `${long} -r -F` : `${long} -x`;
}

function fishArgument(value: Value | undefined): string[] {
  if (value?.kind === 'choices') return [`-a '${words(value.choices)}'`];
  return value?.kind === 'file' || value?.kind === 'folder' ? ['-F'] : [];
}
