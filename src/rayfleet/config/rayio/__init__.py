"""Typed models of the `ray.io` resources, as a platform's users write them."""
