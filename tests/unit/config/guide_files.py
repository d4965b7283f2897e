"""Every YAML fragment that users' guides show, typed in; where a guide lost its indentation it is restored."""

from __future__ import annotations

from typing import Final

AWS: Final = """\
cluster_name: my-ray-cluster

max_workers: 10  # 最大Worker节点数

provider:
  type: aws
  region: us-west-2
  availability_zone: us-west-2a

auth:
  ssh_user: ubuntu
  ssh_private_key: ~/.ssh/ray-autoscaler.pem

# 节点类型
available_node_types:
  ray.head.default:
    resources: {"CPU": 8}
    node_config:
      InstanceType: m5.2xlarge
      ImageId: ami-0a2363a9cff180a64

  ray.worker.cpu:
    min_workers: 0
    max_workers: 5
    resources: {"CPU": 16}
    node_config:
      InstanceType: m5.4xlarge
      ImageId: ami-0a2363a9cff180a64

  ray.worker.gpu:
    min_workers: 0
    max_workers: 5
    resources: {"CPU": 8, "GPU": 4}
    node_config:
      InstanceType: p3.2xlarge
      ImageId: ami-0a2363a9cff180a64

# 初始化命令
head_setup_commands:
  - pip install ray[all]

worker_setup_commands:
  - pip install ray[all]
"""

NODE_TYPES: Final = """\
# 区分CPU密集和GPU密集任务
available_node_types:
  cpu-intensive:
    resources: {"CPU": 32}
    node_config:
      InstanceType: c5.9xlarge

  gpu-inference:
    resources: {"CPU": 16, "GPU": 4}
    node_config:
      InstanceType: p3.2xlarge

  gpu-training:
    resources: {"CPU": 32, "GPU": 8}
    node_config:
      InstanceType: p3.8xlarge
"""

SPOT_MARKET: Final = """\
# 使用Spot实例
worker_node_config:
  InstanceMarketOptions:
    MarketType: spot
    SpotOptions:
      MaxPrice: "1.0"  # 最高价格
"""

CUSTOM_IMAGE: Final = """\
# 使用自定义AMI预装依赖
node_config:
  ImageId: ami-custom-with-deps

# 减少setup_commands
worker_setup_commands: []
"""

RAYCLUSTER_V1: Final = """\
# ray-cluster.yaml
apiVersion: ray.io/v1
kind: RayCluster
metadata:
  name: ray-cluster
spec:
  rayVersion: '2.9.0'
  headGroupSpec:
    replicas: 1
    rayStartParams:
      dashboard-host: '0.0.0.0'
    template:
      spec:
        containers:
        - name: ray-head
          image: rayproject/ray:2.9.0
          resources:
            limits:
              cpu: "4"
              memory: "16G"

  workerGroupSpecs:
  - groupName: worker-group
    replicas: 3
    minReplicas: 1
    maxReplicas: 10
    rayStartParams: {}
    template:
      spec:
        containers:
        - name: ray-worker
          image: rayproject/ray:2.9.0
          resources:
            limits:
              cpu: "8"
              memory: "32G"
              nvidia.com/gpu: "1"
"""

SIDECAR: Final = """\
  resources:
    limits:
      cpu: "500m"
      memory: "512Mi"
    requests:
      cpu: "500m"
      memory: "512Mi"
"""

BASIC: Final = """\
cluster_name: my-ray-cluster
max_workers: 10
provider:
  type: local
  head_ip: 192.168.1.100
  worker_ips:
    - 192.168.1.101
    - 192.168.1.102
auth:
  ssh_user: ubuntu
  ssh_private_key: ~/.ssh/id_rsa
head_node:
  resources:
    CPU: 8
    GPU: 2
worker_nodes:
  - resources:
      CPU: 8
      GPU: 2
head_setup_commands:
  - pip install ray[default]
worker_setup_commands:
  - pip install ray[default]
head_start_ray_commands:
  - ray start --head --port=6379
worker_start_ray_commands:
  - ray start --address=$RAY_HEAD_IP:6379
"""

SHORT_AWS: Final = """\
cluster_name: aws-ray-cluster
provider:
  type: aws
  region: us-west-2
  availability_zone: us-west-2a
auth:
  ssh_user: ubuntu
head_node_type:
  name: head
  instance_type: m5.xlarge
  resources:
    CPU: 4
worker_node_types:
  - name: worker
    instance_type: m5.xlarge
    min_workers: 2
    max_workers: 10
    resources:
      CPU: 4
setup_commands:
  - pip install ray[default]
"""

SHORT_GCP: Final = """\
cluster_name: gcp-ray-cluster
provider:
  type: gcp
  region: us-central1
  availability_zone: us-central1-a
  project_id: my-project
auth:
  ssh_user: ubuntu
head_node_type:
  name: head
  instance_type: n1-standard-4
worker_node_types:
  - name: worker
    instance_type: n1-standard-4
    min_workers: 2
    max_workers: 10
"""

SHORT_AZURE: Final = """\
cluster_name: azure-ray-cluster
provider:
  type: azure
  location: eastus
  resource_group: my-resource-group
auth:
  ssh_user: azureuser
head_node_type:
  name: head
  instance_type: Standard_D4s_v3
worker_node_types:
  - name: worker
    instance_type: Standard_D4s_v3
    min_workers: 2
    max_workers: 10
"""

RAYCLUSTER_V1ALPHA1: Final = """\
apiVersion: ray.io/v1alpha1
kind: RayCluster
metadata:
  name: ray-cluster
spec:
  rayVersion: '2.9.0'
  headGroupSpec:
    rayStartParams:
      dashboard-host: '0.0.0.0'
    template:
      spec:
        containers:
          - name: ray-head
            image: rayproject/ray:2.9.0
            ports:
              - containerPort: 6379
              - containerPort: 8265
            resources:
              limits:
                cpu: 2
                memory: 4Gi
              requests:
                cpu: 2
                memory: 4Gi
  workerGroupSpecs:
    - replicas: 3
      minReplicas: 1
      maxReplicas: 10
      groupName: worker
      rayStartParams: {}
      template:
        spec:
          containers:
            - name: ray-worker
              image: rayproject/ray:2.9.0
              resources:
                limits:
                  cpu: 2
                  memory: 4Gi
                requests:
                  cpu: 2
                  memory: 4Gi
"""

AUTOSCALING: Final = """\
cluster_name: autoscaling-cluster
provider:
  type: aws
  region: us-west-2
autoscaling_config:
  idle_timeout_minutes: 5
worker_node_types:
  - name: worker
    instance_type: m5.xlarge
    min_workers: 0
    max_workers: 100
    use_spot: true
"""

MONITORED: Final = """\
cluster_name: monitored-cluster
monitoring_config:
  prometheus:
    enabled: true
    port: 9090
"""

RESOURCES: Final = """\
head_node:
  resources:
    CPU: 4
    memory: 16Gi
worker_nodes:
  - resources:
      CPU: 8
      GPU: 1
      memory: 32Gi
"""

USE_SPOT: Final = """\
worker_node_types:
  - name: spot-worker
    use_spot: true
    spot_price: 0.5
    min_workers: 0
    max_workers: 100
"""

LIMITS: Final = """\
autoscaling_config:
  idle_timeout_minutes: 10
  upscaling_speed: 1.0
"""

ALERTS: Final = """\
monitoring_config:
  prometheus:
    enabled: true
  alerting:
    enabled: true
    slack_webhook: https://hooks.slack.com/...
"""

CLUSTER_FILES: Final = {
    "aws": AWS,
    "node_types": NODE_TYPES,
    "spot_market": SPOT_MARKET,
    "custom_image": CUSTOM_IMAGE,
    "basic": BASIC,
    "short_aws": SHORT_AWS,
    "short_gcp": SHORT_GCP,
    "short_azure": SHORT_AZURE,
    "autoscaling": AUTOSCALING,
    "monitored": MONITORED,
    "resources": RESOURCES,
    "use_spot": USE_SPOT,
    "limits": LIMITS,
    "alerts": ALERTS,
}
KUBERNETES_FILES: Final = {"v1": RAYCLUSTER_V1, "v1alpha1": RAYCLUSTER_V1ALPHA1, "sidecar": SIDECAR}

# The two below are input for other programs (a log service, Helm). They describe no cluster.
LOG_CONFIG: Final = """\
apiVersion: log.alibabacloud.com/v1alpha1
kind: AliyunLogConfig
metadata:
  name: rayclusters
  namespace: kube-system
spec:
   # 设置Logstore名称。如果您所指定的Logstore不存在,日志服务会自动创建。
  logstore: rayclusters
"""
HELM_VALUES: Final = """\
worker:
  groupName: workergroup
  labels:
    alibabacloud.com/eci: "true"
"""
