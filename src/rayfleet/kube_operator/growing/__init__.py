"""Pods that grow in place before others are added: the part of an autoscaler that KubeRay calls IPPR."""
