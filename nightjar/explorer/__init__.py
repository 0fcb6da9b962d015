"""The explorer: a local web page that queries the models, draws them and shows their history.

``nightjar explore`` opens it. Only that command imports this package, and only :mod:`.app`,
:mod:`.server` and :mod:`.pages` need the extra ``explore`` (Dash).

Data, no Dash::

    overview    what stands, and the last nights: from the ledger and the nights' records
    catalogue   the versions to look at: registered ones with aliases, and unregistered artifacts
    library     opens versions, and holds what is derived from them
    jobs        makes slow derived data once, in a thread, with a progress note
    derived     directories of derived arrays: complete or missing
    prefixes    words by prefix: a sorted order on disk, searched by bisection
    placement   a point and a cluster for every word, cached on disk
    level_of_detail   the points of one window of the map, and labels that do not overlap
    start_words       words that are about something, without a list of stop words
    moved       the words whose vectors differ most between two versions, after alignment
    floors      how far another seed alone moves words, as 'nightjar noise' measured it

Pages, Dash::

    view        the state of a page, read from its address and written to links
    controls    the fields of a page
    pages/      one function per page, from a view and the library to components; charts
    app         the frame, and the callbacks between the address, the fields and the page
    server      access checks (Host, Origin), the content security policy, serving until Ctrl-C

The address is the state: a field changes the address, and the page is drawn from the address. So
every view can be shared and the browser's back button works.

The layout that keeps neighbours together, and labels that do not overlap, are in
:mod:`nightjar.drawing`; scores by night are in :mod:`nightjar.pipeline.history`.

Derived arrays are in ``explorer/<embeddings version>-<digest>-<kind and revision>`` below the
artifact store. They can be deleted at any time; the explorer deletes those of versions that are no
longer kept when it starts. Nothing else is written there.
"""
