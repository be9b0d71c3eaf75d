"""What every worker reads when it starts: for the process that tests fork workers off."""

import worker.app
import worker.cli.commands
import worker.daemon
import worker.product  # noqa: F401
from worker.storage.client import make_client
from worker.storage.config import StorageTarget

make_client(
    StorageTarget(
        service="storage",
        endpoint="http://127.0.0.1:9",
        region="auto",
        access_key_id="nobody",
        secret_access_key="nobody",
        bucket="none",
    )
).close()
