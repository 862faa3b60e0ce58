/* completion: scripts for shells. They ask `pilotgate help` for words, so that they are true of the version
 * that is installed, and nothing needs to be listed twice. */
#include "cli/commands.h"

#include <string.h>

static const char bash[] =
    "# bash completion for pilotgate: source <(pilotgate completion bash)\n"
    "_pilotgate() {\n"
    "  local current=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]} sub= i\n"
    "  COMPREPLY=()\n"
    "  for ((i = 1; i < COMP_CWORD; i++)); do\n"
    "    case ${COMP_WORDS[i]} in\n"
    "      --) return ;; # the words of a command of the user's\n"
    "      --store | --stage | --at | --color | --output | -o) i=$((i + 1)) ;;\n"
    "      -*) ;;\n"
    "      *) [[ -n $sub && $sub != help ]] || sub=${COMP_WORDS[i]} ;;\n"
    "    esac\n"
    "  done\n"
    "  local words\n"
    "  if [[ $before == -o || $before == --output ]]; then\n"
    "    words=$(pilotgate help ${sub:+\"$sub\"} 2>/dev/null | grep -oE -- '-o [a-z|]+' | cut -c4- | tr '|' "
    "'\\n' | sort -u)\n"
    "  elif [[ $current == -* ]]; then\n"
    "    words=$(pilotgate help ${sub:+\"$sub\"} 2>/dev/null | grep -oE -- '--[a-z][a-z-]+' | sort -u)\n"
    "  elif [ -z \"$sub\" ] || [ \"$sub\" = help ]; then\n"
    "    words=$(pilotgate help 2>/dev/null | sed -n '/^subcommands:/,/^$/s/^  \\([a-z]*\\) .*/\\1/p')\n"
    "  else\n"
    "    return\n"
    "  fi\n"
    "  COMPREPLY=($(compgen -W \"$words\" -- \"$current\"))\n"
    "}\n"
    "complete -o default -F _pilotgate pilotgate\n";

static const char zsh[] = "# zsh completion for pilotgate: source <(pilotgate completion zsh)\n"
                          "autoload -U +X compinit && compinit -u\n"
                          "autoload -U +X bashcompinit && bashcompinit\n";

static const char fish[] = "# fish completion for pilotgate: pilotgate completion fish | source\n"
                           "complete -c pilotgate -n __fish_use_subcommand -f -a \"(pilotgate help | "
                           "sed -n '/^subcommands:/,/^\\$/s/^  \\([a-z]*\\)  *\\(.*\\)/\\1\\t\\2/p')\"\n"
                           "complete -c pilotgate -n 'not __fish_use_subcommand' -s o -l output -x -a "
                           "\"(pilotgate help (commandline -opc)[2] 2>/dev/null | "
                           "string match -rg -- '-o ([a-z|]+)' | string split '|' | sort -u)\"\n"
                           "complete -c pilotgate -n 'not __fish_use_subcommand' -a \"(pilotgate help "
                           "(commandline -opc)[2] 2>/dev/null | "
                           "string match -rga -- '(--[a-z][a-z-]+)' | sort -u)\"\n";

static int run(struct cli *c) {
    if (!cli_parse(c, NULL, 0, 1, 1))
        return c->status;
    const char *shell = c->args[0];
    bool is_zsh = strcmp(shell, "zsh") == 0;
    if (strcmp(shell, "fish") == 0)
        (void)fputs(fish, stdout);
    else if (is_zsh || strcmp(shell, "bash") == 0)
        (void)printf("%s%s", is_zsh ? zsh : "", bash);
    else
        return cli_fail("there is no completion for '%s': bash, zsh and fish have one", shell);
    return CLI_OK;
}

const struct cli_command cli_cmd_completion = {"completion", "completion of words, for a shell",
                                               "bash|zsh|fish", run};
