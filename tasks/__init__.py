"""Declared tasks, by collection: `mini` is generated, `real` holds published data sets."""

import difflib

from flan_jax.data.vocabulary import Vocabulary

COLLECTIONS = ("mini", "real")


def register(
    collection: str, data_dir: str | None = None, vocabulary: Vocabulary | None = None
) -> None:
    """Registers a collection's tasks and mixtures with SeqIO, reading no data sets.

    Registering the same again does nothing.

    Args:
      collection: one of `COLLECTIONS`.
      data_dir: folder of the data sets; `mini` needs none.
      vocabulary: what tasks are tokenised with; None means the collection's own.

    Raises:
      ValueError: if there is no such collection, or it needs a data folder and none was given.
    """
    if collection not in COLLECTIONS:
        near = difflib.get_close_matches(collection, COLLECTIONS, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else "."
        raise ValueError(
            f"no collection is named {collection!r}{hint} Known: {', '.join(COLLECTIONS)}"
        )
    if collection == "real" and data_dir is None:
        raise ValueError(
            "collection 'real' reads data sets from files; give their folder with data_dir, or on "
            "the command line with --data_dir"
        )
    # SeqIO takes seconds to import, so a collection's module is imported when it is asked for.
    if collection == "mini":
        from tasks import mini

        mini.register(vocabulary)
    else:
        from tasks import real

        real.register(data_dir, vocabulary)
