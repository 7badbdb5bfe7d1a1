"""Where connections come in: binding, admitting, and the two transports that carry their bytes."""
