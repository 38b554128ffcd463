"""The contestant in dlt: its rest_api source into its filesystem destination, as JSON lines.

python dlt_pull.py URL DIRECTORY [tuned]

`tuned` keeps nested objects and lists as JSON in one table, and compiles the JSON path of the records once: dlt compiles a
path that comes as text again for every page. What its page "Optimizing dlt" names besides comes from run.py, by the
environment.
"""

import sys
from pathlib import Path

import dlt
from dlt.common import jsonpath
from dlt.sources.rest_api import rest_api_source

if __name__ == "__main__":
    url, directory, tuned = sys.argv[1], Path(sys.argv[2]), sys.argv[3:] == ["tuned"]
    base, path = url.rsplit("/", 3)[0], "/".join(url.rsplit("/", 3)[1:])
    source = rest_api_source(
        {
            "client": {"base_url": base},
            "resources": [
                {
                    "name": "bench",
                    "endpoint": {
                        "path": path,
                        "data_selector": jsonpath.compile_path("data") if tuned else "data",
                        "paginator": {
                            "type": "page_number",
                            "base_page": 1,
                            "total_path": None,
                            "has_more_path": "has_more",
                        },
                    },
                }
            ],
        },
        max_table_nesting=0 if tuned else None,
    )
    pipeline = dlt.pipeline(
        pipeline_name="bench",
        pipelines_dir=str(directory / "pipelines"),
        destination=dlt.destinations.filesystem(bucket_url=(directory / "data").as_uri()),
        dataset_name="bench",
    )
    print(pipeline.run(source, loader_file_format="jsonl"))
