"""`torch.compile` for the device."""
