"""EC2 on a loopback port, for boto3: `with aws_emulator() as emulator:`.

moto answers for networks, key pairs, launch templates, IAM and SSM. Instances are our own, because moto has neither
client tokens nor MaxCount, states, spot requests or faults, and takes a quarter of a minute over a thousand of them:

    emulator.endpoint_url, emulator.credentials   what a client needs
    emulator.fault(Fault("RunInstances", "InsufficientInstanceCapacity", status=500, times=2))
    emulator.account.stock[("us-west-2a", "m5.large", "spot")] = 3
    emulator.calls("RunInstances")                the log, with parameters
    emulator.account.on_launch = ...              hears of every instance, for instance to start a real host for it

The same over HTTP for other processes: POST /_fault, GET /_log, POST /_instance. Requests are read, and answers are
written, by the service model that comes with botocore: what it does not know is refused. An emulator proves that the
client library can be driven and that its answers are understood, not that the cloud behaves that way.
"""

from rayfleet.testing.clouds.aws.instances import Account, AwsError, Instance
from rayfleet.testing.clouds.aws.server import REGION, AwsEmulator, Fault, aws_emulator

__all__ = ["REGION", "Account", "AwsEmulator", "AwsError", "Fault", "Instance", "aws_emulator"]
