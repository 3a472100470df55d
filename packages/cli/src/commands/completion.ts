import { Argument, type Command } from 'commander';
import { placesOf } from '../completion.ts';
import { completionScript, type Shell, shells } from '../completion-script.ts';

/** `gatehouse completion <shell>`: made from the commands themselves, so that it never lags behind them. */
export function addCompletion(program: Command): void {
  program
    .command('completion')
    .addArgument(new Argument('<shell>', 'which shell').choices(shells))
    .description('the script that lets a shell complete commands, options and their values')
    .addHelpText(
      'after',
      `
Examples:
  gatehouse completion bash > ~/.local/share/bash-completion/completions/gatehouse
  gatehouse completion zsh > ~/.zfunc/_gatehouse
  gatehouse completion fish > ~/.config/fish/completions/gatehouse.fish
`,
    )
    .action((shell: Shell) => {
      process.stdout.write(completionScript(shell, placesOf(program)));
    });
}
