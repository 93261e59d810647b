"""What the bridge offers on trial among its fused operators."""
