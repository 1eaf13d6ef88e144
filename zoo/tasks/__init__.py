"""What people do with a trained model beside scoring and sampling."""
