"""The command line: what a person types, and what is printed.

A module of commands declares what they take and prints what they found. What they find out, and
any work, is in the modules beside them or in a package below, so it can be tested without a
terminal.

Commands, by subject::

    main                the program: its exit codes, and the order of the commands
    project_commands    init                    project_template    the files of a new project
    plan_commands       plan
    run_commands        run, serve              embedded_flow, service     Prefect
    night_commands      nights, accept
    artifact_commands   versions, show, verify, explore        lookups     what they find
    corpus_commands     search, diff, report    corpora_asked       two nights of a corpus
    question_commands   neighbors ... index     questions, indexes  asking models
    promotion_commands  history ... repair
    retention_commands  collect, purge
    exchange_commands   export, to-gensim, from-gensim         exchange    files of vectors

What all of them share::

    options             the shared options, declared once, in groups
    outputs             JSON, lines, tables, and files for the user
    display             progress: bars on a terminal, lines elsewhere
    environment         the environment of Prefect and MLflow, and the server of a run
    embedded_server     that server

A new command takes its own options first and the groups it shares last, by keyword.
"""
