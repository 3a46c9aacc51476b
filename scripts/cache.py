"""Builds the caches that training and scoring read: tokenised Arrow shards with a manifest.

    python scripts/cache.py --gin_file runs/cache_mini.gin
    python scripts/cache.py --gin_file runs/cache_real.gin --data_dir /data/flan

Hardware: CPU. Time: about 20,000 short renderings a second and core.
"""

import sys
from collections.abc import Sequence

from flan_jax import configuration


def main(argv: Sequence[str]) -> None:
    (run,), _ = configuration.from_command_line(["CacheRun"], __doc__, argv)
    from flan_jax.data.preparation import prepare

    prepare(run)
    print(f"caches are listed in {run.cache_dir}/{run.collection}.json")


if __name__ == "__main__":
    main(sys.argv[1:])
