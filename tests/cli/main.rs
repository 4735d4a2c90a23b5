//! The program `mnn` from outside: arguments in; files, messages and exit codes out.
