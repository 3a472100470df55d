import { DockerfileParser, type Instruction, ModifiableInstruction } from 'dockerfile-ast';

/** One instruction of a stage. */
export interface Step {
  readonly keyword: string;
  /** `--from=packages` as `{ from: 'packages' }`. */
  readonly flags: Readonly<Record<string, string>>;
  /** Without flags, with variables as written. */
  readonly text: string;
  readonly line: number;
}

/** One FROM and what follows it. */
export interface Stage {
  readonly name: string | undefined;
  readonly from: string;
  readonly steps: readonly Step[];
}

/** A Dockerfile as it will be carried out. */
export interface Dockerfile {
  /** Defaults of the ARGs before the first FROM. */
  readonly args: Readonly<Record<string, string>>;
  readonly stages: readonly Stage[];
}

/** Reads a Dockerfile. */
export function parseDockerfile(text: string): Dockerfile {
  const args: Record<string, string> = {};
  const stages: { name: string | undefined; from: string; steps: Step[] }[] = [];
  for (const instruction of DockerfileParser.parse(text).getInstructions()) {
    const step = stepOf(instruction);
    const stage = stages.at(-1);
    if (step.keyword === 'FROM') {
      const [from = '', , name] = step.text.split(/\s+/);
      stages.push({ name, from, steps: [] });
    } else if (stage !== undefined) stage.steps.push(step);
    else if (step.keyword === 'ARG') Object.assign(args, assignments(step.text));
  }
  return { args, stages };
}

function stepOf(instruction: Instruction): Step {
  const flags = instruction instanceof ModifiableInstruction ? instruction.getFlags() : [];
  return {
    keyword: instruction.getKeyword(),
    flags: Object.fromEntries(flags.map((flag) => [flag.getName(), flag.getValue() ?? ''])),
    text: instruction.getArgumentsContent() ?? '',
    line: instruction.getRange().start.line + 1,
  };
}

/** `A=1 B="two words"` as an object. */
export function assignments(text: string): Record<string, string> {
  const found = [...text.matchAll(/([\w.-]+)=("(?:[^"\\]|\\.)*"|\S*)/g)];
  return Object.fromEntries(found.map(([, name = '', value = '']) => [name, value.replace(/^"|"$/g, '')]));
}

/** `["node", "main.ts"]`; undefined when it is a line for the shell. */
export function execForm(text: string): string[] | undefined {
  if (!text.trim().startsWith('[')) return undefined;
  return JSON.parse(text) as string[];
}

/** Puts variables in, as Docker does outside of RUN. */
export function expand(text: string, variables: Readonly<Record<string, string>>): string {
  return text.replace(/\$\{(\w+)\}|\$(\w+)/g, (_all, braced?: string, bare?: string) => {
    return variables[braced ?? bare ?? ''] ?? '';
  });
}
