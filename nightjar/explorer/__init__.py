"""The explorer: a local web page that asks the models, draws them and shows their history.

A door like the command line, opened by ``nightjar explore``; only that command imports this
package, and only :mod:`.app`, :mod:`.server` and :mod:`.pages` need the extra ``explore`` (Dash).

Data, no Dash::

    catalogue   which versions there are: registered ones with aliases, and artifacts that are not
    library     opens them, and holds what is derived from them
    jobs        derived data that takes seconds is made once, in a thread, with a progress note
    derived     the directories of derived arrays: whole or not there
    prefixes    which words start like this: a sorted order on disk, searched by bisection
    placement   a point and a cluster for every word, cached on disk
    neighbour_graph   the layout that keeps neighbours together
    level_of_detail   the points and labels of one window of the map
    moved       words whose vectors differ most between two versions, after alignment
    history     scores by night, and the events of the ledger
    text        how a token is written so that it cannot do anything

Pages, Dash::

    view        the state of a page: what the address says, and the address of another state
    controls    the fields of a page
    pages/      one function a page, from a view and the library to components
    app         the frame, and the callbacks between the address, the fields and the page
    server      who may ask (Host, Origin), the content security policy, serving until Ctrl-C

The address is the state: a field changes the address, and the page is drawn from it. So every
view can be shared and the browser's back button works.

Derived arrays lie in ``explorer/<embeddings version>-<digest>-<kind and revision>`` below the
artifact store: copies that can be deleted at any time; those of versions that are not kept any
more are deleted when the explorer starts. Nothing else is written there.
"""
