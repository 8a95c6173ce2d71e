/* What stands in the completions of shells around that which comes from the tables. */
#pragma once

/* Nothing that stands on the line is run: a cache whose name the shell would have to compute is
 * none. */
static const char bash_begin[] =
    "# Completions of pkgcache for bash.\n"
    "_pkgcache_variants() {\n"
    "    local i word cache=()\n"
    "    for ((i = 1; i < COMP_CWORD; i++)); do\n"
    "        [ \"${COMP_WORDS[i]}\" = --cache ] || continue\n"
    "        [ \"${COMP_WORDS[i + 1]}\" = '=' ] && i=$((i + 1))\n"
    "        word=${COMP_WORDS[i + 1]}\n"
    "        [[ $word == *[\\`\\(\\)\\;\\&\\|\\<\\>]* ]] && return\n"
    "        eval \"cache=(--cache $word)\"\n"
    "    done\n"
    "    pkgcache -q \"${cache[@]}\" list --no-header --columns=package 2>/dev/null\n"
    "}\n"
    "\n"
    "_pkgcache() {\n"
    "    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]}\n"
    "    local command= words= options= option= values= kind= i IFS=$' \\t\\n'\n";

/* bash takes "=" for a word of its own. */
static const char bash_find_command[] = "    COMPREPLY=()\n"
                                        "    if [ \"$word\" = '=' ]; then\n"
                                        "        option=$before word=\n"
                                        "    elif [ \"$before\" = '=' ]; then\n"
                                        "        option=${COMP_WORDS[COMP_CWORD - 2]}\n"
                                        "    elif [ \"${before#--}\" != \"$before\" ]; then\n"
                                        "        option=$before\n"
                                        "    fi\n"
                                        "    for ((i = 1; i < COMP_CWORD; i++)); do\n"
                                        "        case \" $commands \" in *\" ${COMP_WORDS[i]} \"*) "
                                        "command=${COMP_WORDS[i]}; break ;; esac\n"
                                        "    done\n"
                                        "    case $command in\n";

static const char bash_find_values[] = "    *) words=$commands ;;\n"
                                       "    esac\n"
                                       "    case $option in\n";

static const char bash_end[] =
    "    esac\n"
    "    if [ -n \"$values\" ]; then\n"
    "        COMPREPLY=($(compgen -W \"$values\" -- \"$word\"))\n"
    "        return\n"
    "    fi\n"
    "    if [ -z \"$kind\" ]; then\n"
    "        case $word in\n"
    "        -*)\n"
    "            COMPREPLY=($(compgen -W \"$options $common\" -- \"$word\"))\n"
    "            [[ ${COMPREPLY[0]} == *= ]] && compopt -o nospace 2>/dev/null\n"
    "            return\n"
    "            ;;\n"
    "        esac\n"
    "        case $words in @*) kind=$words ;; esac\n"
    "    fi\n"
    "    case $kind in\n"
    "    @none) ;;\n"
    "    @file) compopt -o filenames 2>/dev/null; COMPREPLY=($(compgen -f -- \"$word\")) ;;\n"
    "    @directory) compopt -o filenames 2>/dev/null; COMPREPLY=($(compgen -d -- \"$word\")) ;;\n"
    "    @variant) COMPREPLY=($(compgen -W \"$(_pkgcache_variants)\" -- \"$word\")) ;;\n"
    "    @command) COMPREPLY=($(compgen -W \"$commands\" -- \"$word\")) ;;\n"
    "    *) COMPREPLY=($(compgen -W \"$words\" -- \"$word\")) ;;\n"
    "    esac\n"
    "}\n"
    "complete -F _pkgcache pkgcache\n";

static const char zsh_begin[] =
    "#compdef pkgcache\n"
    "# Completions of pkgcache for zsh.\n"
    "_pkgcache_variants() {\n"
    "  local -a variants expl\n"
    "  local cache=${(Q)${opt_args[--cache]:-$cache_before}}\n"
    "  cache=${cache/#\\~\\//$HOME/}\n"
    "  variants=(${(f)\"$(pkgcache -q ${cache:+--cache=$cache} list --no-header --columns=package "
    "2>/dev/null)\"})\n"
    "  _wanted variants expl variant compadd -a variants\n"
    "}\n"
    "\n"
    "_pkgcache_commands() {\n"
    "  local -a commands\n"
    "  commands=(\n";

static const char zsh_common[] = "  )\n"
                                 "  _describe -t commands command commands\n"
                                 "}\n"
                                 "\n"
                                 "_pkgcache() {\n"
                                 "  local curcontext=$curcontext state line cache_before\n"
                                 "  local -a common options\n"
                                 "  local -A opt_args\n"
                                 "  common=(\n";

static const char zsh_find_command[] =
    "  )\n"
    "  _arguments -C -A '-*' $common '1: :_pkgcache_commands' '*:: :->arguments' && return\n"
    "  [[ $state == arguments ]] || return 1\n"
    "  cache_before=$opt_args[--cache]\n"
    "  case $words[1] in\n";

static const char zsh_end[] = "  *) options=('*: :_files') ;;\n"
                              "  esac\n"
                              "  _arguments $common $options\n"
                              "}\n"
                              "\n"
                              "_pkgcache \"$@\"\n";

static const char fish_begin[] =
    "# Completions of pkgcache for fish.\n"
    "function __pkgcache_variants\n"
    "    set -l cache\n"
    "    set -l before\n"
    "    for word in (commandline -opc)\n"
    "        string match -q -- '--cache=*' $word; and set cache $word\n"
    "        test \"$before\" = --cache; and set cache --cache=$word\n"
    "        set before $word\n"
    "    end\n"
    "    set cache (string replace -r -- '^--cache=~/' --cache=$HOME/ $cache)\n"
    "    pkgcache -q $cache list --no-header --columns=package 2>/dev/null\n"
    "end\n"
    "\n"
    "set -l pkgcache_commands";
