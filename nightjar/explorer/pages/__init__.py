"""One function per page: from a view, the versions and the library to Dash components."""
